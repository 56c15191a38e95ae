"""The number of workers is changed in mid-run: how soon, within which bounds, and that it shows in
nothing but speed."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gsc_trio.backfill import fetch_all
from gsc_trio.batch import Batch
from gsc_trio.client import open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.coordinator import open_coordinator
from gsc_trio.delivery import Delivery
from gsc_trio.errors import UsageError
from gsc_trio.fetcher import Fetcher
from gsc_trio.model import Job, Page
from gsc_trio.paginator import EmptyDays
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.quota_window import CLOCK_DRIFT
from gsc_trio.retry import RetryPolicy
from gsc_trio.store.base import NoStore
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
    Event,
)
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.testing import (
    BadJson,
    CutOff,
    Fault,
    Latency,
    MissingPart,
    Refuse,
    open_streaming_transport,
    run_in_virtual_time,
)
from gsc_trio.testing.determinism import deterministic_scheduling
from gsc_trio.worker import WorkerPool
from tests.concurrent_run import (
    END,
    QUERY,
    SITE,
    TODAY,
    Run,
    fake,
    jobs_in_order,
    running,
)


@cache
def sequential(days: int) -> list[Page]:
    """What the plain loop hands over."""
    pages: list[Page] = []

    async def fetch() -> None:
        settings = Settings(max_concurrency=1, batch_size=1)
        async with (
            open_streaming_transport(fake(days)) as transport,
            open_search_console(settings, transport=transport) as client,
        ):
            await fetch_all(
                client,
                QUERY,
                start=END - dt.timedelta(days=days - 1),
                end=END,
                on_page=pages.append,
                today=TODAY,
            )

    run_in_virtual_time(fetch)
    return pages


@given(
    seed=st.integers(0, 2**32),
    days=st.integers(1, 40),
    begin=st.integers(1, 8),
    changes=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 12)), max_size=12),
    batch_size=st.integers(1, 6),
    max_queue_size=st.sampled_from([1, 3, 1_000]),
    max_in_flight=st.sampled_from([None, None, 1, 4]),
    queries_per_minute=st.sampled_from([6, 40, 1_200]),
    faults=st.booleans(),
)
@hypothesis_settings(max_examples=80, deadline=None)
def test_changes_at_any_moment_show_in_nothing_but_speed(
    seed: int,
    days: int,
    begin: int,
    changes: list[tuple[float, int]],
    batch_size: int,
    max_queue_size: int,
    max_in_flight: int | None,
    queries_per_minute: int,
    faults: bool,
) -> None:
    settings = Settings(
        batch_size=batch_size,
        max_queue_size=max_queue_size,
        max_in_flight=max_in_flight,
        queries_per_minute=queries_per_minute,
    )
    server = fake(
        days,
        latency=Latency(seconds_per_call=0.5, jitter=0.9, seed=seed),
        faults=[
            Fault(BadJson(), times=2),
            Fault(MissingPart(), skip=3),
            Fault(Refuse(503), times=2, skip=1, whole_request=True),
            Fault(CutOff(), skip=1, whole_request=True),
        ]
        if faults
        else [],
    )
    run = Run(server, days, settings, Concurrency(begin))

    async def change() -> None:
        for seconds, limit in changes:
            await trio.sleep(seconds)
            run.concurrency.change(limit, "by chance")

    async def main() -> None:
        with trio.fail_after(86_400):  # a deadlock ends here, in virtual time
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run.fetch)
                nursery.start_soon(change)

    run_in_virtual_time(main)
    assert run.summary is not None
    assert run.summary.status == "complete"
    assert [(page.job, page.rows) for page in run.pages] == [
        (page.job, page.rows) for page in sequential(days)
    ]
    assert run.watch.too_many == []
    highest = max([begin, *(limit for _, limit in changes)])
    assert max(run.watch.in_flight) <= settings.in_flight_limit_at(highest)


@pytest.fixture
def latency() -> Latency:
    """A second for every query; the two of a batch one after another."""
    return Latency(seconds_per_call=1.0, seconds_per_row=0.0)


async def test_raising_starts_workers_at_once(
    autojump_clock: trio.testing.MockClock, latency: Latency
) -> None:
    async with running(fake(60, latency=latency), 1) as run:
        await trio.sleep(3)
        run.concurrency.change(4, "there is room")
    began = run.watch.started[0][0]
    assert [(round(time - began, 3), out) for time, out in run.watch.started[:5]] == [
        (0, 1),
        (2, 1),
        (3, 2),
        (3, 3),
        (3, 4),
    ]
    assert run.watch.changes == [ConcurrencyChanged(1, 4, "there is room")]
    assert run.jobs == jobs_in_order(60)


async def test_lowering_lets_batches_end_and_starts_no_other(
    autojump_clock: trio.testing.MockClock, latency: Latency
) -> None:
    async with running(fake(60, latency=latency), 5, batch_size=4) as run:
        await trio.sleep(5)
        run.concurrency.change(1, "rollback")
        changed_at, requests = trio.current_time(), len(run.server.calls)
    # Batches of four seconds each were a quarter done.
    assert [time - changed_at for time in run.watch.finished_at[5:10]] == [pytest.approx(3)] * 5
    assert all(out == 1 for time, out in run.watch.started if time > changed_at)
    assert len({(call.data_date, call.start_row) for call in run.server.calls}) == len(
        run.server.calls
    ), "nothing was asked for twice"
    assert requests < len(run.server.calls)


@pytest.mark.parametrize(
    ("settings", "faults", "reason"),
    [
        ({"max_in_flight": 2}, [], "the registry is full"),
        ({"queries_per_minute": 2}, [], "the quota is used up"),
        ({"retry_initial_seconds": 0}, [Refuse(503, retry_after="50")], "they back off"),
    ],
)
async def test_workers_with_nothing_in_their_hands_leave_at_once(
    autojump_clock: trio.testing.MockClock,
    latency: Latency,
    settings: dict[str, int],
    faults: list[Refuse],
    reason: str,
) -> None:
    server = fake(8, latency=latency, faults=[Fault(each, times=4) for each in faults])
    async with running(server, 4, days=8, **settings) as run:
        await trio.sleep(2.5)
        names = worker_tasks()
        assert len(names) == 4, reason
        run.concurrency.change(3, "one first")
        run.concurrency.change(1, "rollback")
        await trio.testing.wait_all_tasks_blocked()
        assert len(worker_tasks()) == 1
    assert run.jobs == jobs_in_order(8)


def worker_tasks() -> list[str]:
    """The workers' tasks, wherever they are."""
    tasks, found = [trio.lowlevel.current_root_task()], []
    while tasks:
        task = tasks.pop()
        assert task is not None
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        if "WorkerPool._supervise" in task.name:
            found.append(task.name)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_a_worker_that_was_just_woken_and_must_leave_wakes_another_one(
    seed: int, latency: Latency
) -> None:
    async def main() -> None:
        settings, concurrency, telemetry = Settings(), Concurrency(4), Instruments()
        delivery = Delivery(QUERY, NoStore(), EmptyDays(None, END, {}), telemetry, END)
        async with (
            open_streaming_transport(fake(1, latency=latency)) as transport,
            open_search_console(settings, transport=transport) as client,
            open_coordinator(
                [Job(END)], delivery, settings=settings, concurrency=concurrency
            ) as coordinator,
        ):
            journal = QuotaJournal(NoStore(), client.limiter)
            fetcher = Fetcher(client, QUERY, journal, telemetry)
            policy = RetryPolicy(
                SITE, client.user, settings, concurrency, client.limiter, telemetry
            )
            pool = WorkerPool(coordinator, fetcher, policy, settings, concurrency, telemetry)
            batch = coordinator.take_batch("me")
            assert isinstance(batch, Batch)
            with trio.fail_after(100):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pool.run)
                    await trio.testing.wait_all_tasks_blocked()
                    coordinator.requeue_batch(batch.jobs)
                    concurrency.change(1, "rollback")
            assert await coordinator.finalize() is None

    with deterministic_scheduling(seed):
        run_in_virtual_time(main)


@pytest.mark.parametrize("seed", range(8))
def test_a_worker_that_gets_its_permits_when_it_must_leave_gives_them_back(
    seed: int, latency: Latency
) -> None:
    async def main() -> None:
        server = fake(60, latency=latency)
        async with running(server, 5, batch_size=1, queries_per_minute=5) as run:
            await trio.sleep(2)
            answered_at = run.watch.finished_at[0]
            await trio.sleep_until(answered_at + 60 * CLOCK_DRIFT)
            run.concurrency.change(1, "rollback")
        assert run.jobs == jobs_in_order(60)

    with deterministic_scheduling(seed):
        run_in_virtual_time(main)


async def test_names_of_workers_that_left_are_given_again(
    autojump_clock: trio.testing.MockClock, latency: Latency
) -> None:
    names: set[str] = set()

    class Names:
        def handle(self, event: Event) -> None:
            if isinstance(event, BatchTaken):
                names.add(event.worker)

    async with running(fake(60, latency=latency), 3) as run:
        run.more.append(Names())
        for limit in (1, 3, 2, 3, 1, 3):
            await trio.sleep(4)
            run.concurrency.change(limit, "back and forth")
    assert names == {"worker-1", "worker-2", "worker-3"}


async def test_one_concurrency_may_be_shared(
    autojump_clock: trio.testing.MockClock, latency: Latency
) -> None:
    shared = Concurrency(1)
    runs = [Run(fake(9, latency=latency), 9, Settings(batch_size=1), shared) for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for run in runs:
            nursery.start_soon(run.fetch)
        await trio.sleep(1.5)
        shared.change(2, "both")
    for run in runs:
        assert max(out for _, out in run.watch.started) == 2
        assert run.jobs == jobs_in_order(9)


async def test_before_and_after_a_run_a_change_is_only_a_number(
    autojump_clock: trio.testing.MockClock,
) -> None:
    run = Run(fake(9), 9, Settings(batch_size=1), Concurrency(1))
    run.concurrency.change(4, "before it")
    await run.fetch()
    assert max(out for _, out in run.watch.started) == 4
    told = list(run.watch.changes)
    run.concurrency.change(2, "after it")
    assert run.concurrency.limit == 2
    assert run.watch.changes == told


@pytest.mark.parametrize("limit", [0, -1, 101, 2.5, True, None, "3"])
def test_a_limit_that_the_setting_could_not_have_changes_nothing(limit: Any) -> None:
    concurrency = Concurrency(3)
    with pytest.raises(UsageError, match="use a whole number from 1 to 100"):
        concurrency.change(limit, "a slip")
    assert concurrency.limit == 3
    with pytest.raises(UsageError, match="use a whole number from 1 to 100"):
        Concurrency(limit)


async def test_the_same_number_again_is_no_change(
    autojump_clock: trio.testing.MockClock, latency: Latency
) -> None:
    async with running(fake(9, latency=latency), 2, days=9) as run:
        await trio.sleep(1)
        run.concurrency.change(2, "as it is")
    assert run.watch.changes == []


async def test_a_worker_whose_batch_fails_does_not_back_off_before_it_leaves(
    autojump_clock: trio.testing.MockClock, latency: Latency
) -> None:
    server = fake(20, latency=latency, faults=[Fault(Refuse(503, retry_after="50"), times=8)])
    async with running(server, 4, days=20) as run:
        await trio.sleep(1)
        run.concurrency.change(1, "rollback")
        assert len(worker_tasks()) == 4
        await trio.sleep(3)
        assert len(worker_tasks()) == 1
    assert run.jobs == jobs_in_order(20)


async def test_a_number_that_the_settings_do_not_say_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(fake(9), 2, days=9, max_concurrency=5) as run:
        pass
    assert [(change.previous, change.current) for change in run.watch.changes] == [(5, 2)]
