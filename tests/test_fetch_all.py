"""The whole run against the fake Search Console in virtual time, held against the oracle."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gsc_trio.backfill import backfill, fetch_all
from gsc_trio.batch import Batch
from gsc_trio.client import SearchConsole, open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.coordinator import open_coordinator
from gsc_trio.delivery import Delivery
from gsc_trio.errors import StorageError, UsageError
from gsc_trio.fetcher import Fetcher
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Day, Halt, Job, Page, SearchAnalyticsQuery
from gsc_trio.paginator import EmptyDays
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.retry import RetryPolicy
from gsc_trio.store.base import NoStore
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import Event, HaltRequested, QuotaPaused, WorkerCrashed
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.testing import (
    BadJson,
    CutOff,
    DoubledPart,
    FakeSearchConsole,
    Fault,
    HtmlPage,
    Latency,
    MissingPart,
    Quota,
    Refuse,
    SimulatedProperty,
    Stall,
    UnknownPart,
    open_streaming_transport,
    run_in_virtual_time,
)
from gsc_trio.worker import WorkerPool

SITE = "sc-domain:example.com"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
ROW_LIMIT = 20
QUERY = SearchAnalyticsQuery(SITE, row_limit=ROW_LIMIT)


def day(number: int) -> dt.date:
    """The newest day is number 0."""
    return END - dt.timedelta(days=number)


def simulated_property(**options: Any) -> SimulatedProperty:
    """Days with no page to speak of, one page, several, and exactly full ones."""
    rows_by_day = {day(1): 45, day(2): ROW_LIMIT, day(3): 0, day(5): 2 * ROW_LIMIT, day(8): 61}
    return SimulatedProperty(SITE, rows_per_day=7, rows_by_day=rows_by_day, **options)


@attrs.define(eq=False)
class Run:
    """What a run handed over, and what it said."""

    pages: list[Page] = attrs.field(factory=list)
    days: list[Day] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    summary: RunSummary | None = None

    def handle(self, event: Event) -> None:
        self.events.append(event)

    @property
    def status(self) -> str:
        assert self.summary is not None
        return self.summary.status

    @property
    def reason(self) -> str:
        assert self.summary is not None
        return self.summary.reason


@asynccontextmanager
async def client_of(
    fake: FakeSearchConsole, settings: Settings, instruments: Sequence[Run] = ()
) -> AsyncIterator[SearchConsole]:
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(settings, transport=transport, instruments=instruments) as client,
    ):
        yield client


async def run_against(
    fake: FakeSearchConsole,
    *,
    days: int = 12,
    on_complete: Callable[[Day], Halt | None] | None = None,
    halt_switch: HaltSwitch | None = None,
    **settings: Any,
) -> Run:
    """A run of the newest days, with everything it handed over."""
    run = Run()

    def complete(completed: Day) -> Halt | None:
        run.days.append(completed)
        return on_complete(completed) if on_complete else None

    chosen = Settings(api_root="http://fake.example", **settings)
    with trio.fail_after(10 * 86_400):  # a hang ends here, in virtual time
        async with client_of(fake, chosen, [run]) as client:
            run.summary = await fetch_all(
                client,
                QUERY,
                start=day(days - 1),
                end=END,
                settings=chosen,
                on_page=run.pages.append,
                on_complete=complete,
                instruments=[run],
                halt_switch=halt_switch,
                today=TODAY,
            )
    return run


@functools.cache
def oracle(days: int = 12) -> Run:
    """The sequential path, one query at a time, without faults or latency."""

    async def run() -> Run:
        fake = FakeSearchConsole([simulated_property()])
        return await run_against(fake, days=days, max_concurrency=1, batch_size=1)

    return run_in_virtual_time(run)


@pytest.fixture
def oracle_pages() -> list[Page]:
    return oracle().pages


def test_the_sequential_path_hands_over_every_row_of_the_property() -> None:
    run = oracle()
    fetched: dict[dt.date, list[Any]] = {}
    for page in run.pages:
        rows = fetched.setdefault(page.job.data_date, [])
        assert page.job.start_row == len(rows)
        rows += page.rows
    simulated = simulated_property()
    assert fetched == {
        day(number): simulated.rows(day(number), "web", ("page", "query")) for number in range(12)
    }
    assert {each.data_date: each.rows for each in run.days} == {
        each: len(rows) for each, rows in fetched.items()
    }
    assert run.status == "complete"


def test_first_pages_come_newest_day_first_and_second_pages_after_them() -> None:
    jobs = [page.job for page in oracle(days=6).pages]
    assert jobs == [
        *[Job(day(number)) for number in range(6)],
        Job(day(1), 20),
        Job(day(2), 20),
        Job(day(5), 20),
        Job(day(1), 40),
        Job(day(5), 40),
    ]


@given(
    max_concurrency=st.integers(1, 12),
    batch_size=st.integers(1, 20),
    jitter=st.sampled_from([0.0, 0.9]),
    seed=st.integers(0, 1_000),
    part_order=st.sampled_from(["sent", "reversed", "shuffled"]),
    parallel_parts=st.booleans(),
    line_break=st.sampled_from([b"\n", b"\r\n"]),
    max_queue_size=st.sampled_from([1, 3, 1_000]),
    max_in_flight=st.sampled_from([None, 1, 5]),
    queries_per_minute=st.sampled_from([3, 11, 1_200]),
)
@hypothesis_settings(max_examples=100, deadline=None)
def test_every_concurrency_batch_size_and_order_of_answers_hands_over_the_same(
    max_concurrency: int,
    batch_size: int,
    jitter: float,
    seed: int,
    part_order: str,
    parallel_parts: bool,
    line_break: bytes,
    max_queue_size: int,
    max_in_flight: int | None,
    queries_per_minute: int,
) -> None:
    expected = oracle()

    async def run() -> None:
        fake = FakeSearchConsole(
            [simulated_property()],
            latency=Latency(jitter=jitter, seed=seed, parallel_parts=parallel_parts),
            quota=Quota(queries_per_minute=queries_per_minute),
            part_order=part_order,
            line_break=line_break,
        )
        result = await run_against(
            fake,
            max_concurrency=max_concurrency,
            batch_size=batch_size,
            max_queue_size=max_queue_size,
            max_in_flight=max_in_flight,
            queries_per_minute=queries_per_minute,
        )
        assert result.pages == expected.pages
        assert result.days == expected.days
        assert result.status == "complete"
        assert result.summary is not None
        assert result.summary.requests == len(expected.pages)
        assert fake.quota.refused == 0
        assert fake.quota.peak_queries_per_minute <= queries_per_minute

    run_in_virtual_time(run)


@given(
    faults=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    Refuse(500),
                    Refuse(503, retry_after="7"),
                    Refuse(429, "rateLimitExceeded", "Too many requests."),
                    Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded."),
                    Refuse(403, "quotaExceeded", "Search Analytics load quota exceeded."),
                    HtmlPage(),
                    HtmlPage(200),
                    BadJson(),
                    MissingPart(),
                    DoubledPart(),
                    UnknownPart(),
                    Stall(300.0),
                    CutOff(),
                ]
            ),
            st.integers(1, 2),
            st.integers(0, 6),
            st.booleans(),
        ),
        max_size=6,
    ),
    max_concurrency=st.sampled_from([1, 2, 5]),
    batch_size=st.sampled_from([1, 4, 50]),
)
@hypothesis_settings(max_examples=100, deadline=None)
def test_faults_change_nothing_in_what_is_handed_over(
    faults: list[tuple[Any, int, int, bool]], max_concurrency: int, batch_size: int
) -> None:
    expected = oracle()

    async def run() -> None:
        fake = FakeSearchConsole(
            [simulated_property()],
            latency=Latency(),
            faults=[
                Fault(action, times=times, skip=skip, whole_request=whole_request)
                for action, times, skip, whole_request in faults
            ],
        )
        result = await run_against(
            fake, max_concurrency=max_concurrency, batch_size=batch_size, read_timeout_seconds=60
        )
        is_load_twice = "daily one" in result.reason
        assert result.status == "complete" or is_load_twice, result.reason
        if not is_load_twice:
            assert result.pages == expected.pages

    run_in_virtual_time(run)


@pytest.mark.parametrize("max_concurrency", [1, 3])
@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refuse(403, "forbidden", "User does not have sufficient permission"), "sufficient"),
        (Refuse(401, "authError", "Invalid Credentials"), "Invalid Credentials"),
        (Refuse(400, "badRequest", "No."), "No."),
        (Refuse(403, "dailyLimitExceeded", "Daily Limit Exceeded"), "Daily Limit Exceeded"),
        (Refuse(403, "accessNotConfigured", "It has not been used"), "Enable the Search Console"),
    ],
)
async def test_a_final_error_halts_and_names_property_date_and_googles_words(
    max_concurrency: int, refusal: Refuse, words: str, autojump_clock: trio.testing.MockClock
) -> None:
    fake = FakeSearchConsole(
        [simulated_property()], latency=Latency(), faults=[Fault(refusal, data_date=day(4))]
    )
    run = await run_against(fake, max_concurrency=max_concurrency, batch_size=2)
    assert run.status == "failed"
    for text in (SITE, str(day(4)), words):
        assert text in run.reason
    assert day(4) not in {page.job.data_date for page in run.pages}


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_an_endless_fault_ends_in_a_halt_with_the_cause(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    fake = FakeSearchConsole([simulated_property()], faults=[Fault(Refuse(503), times=None)])
    run = await run_against(fake, max_concurrency=max_concurrency)
    assert run.status == "failed"
    assert "gave up after too many failed requests" in run.reason
    assert "Backend Error" in run.reason


@pytest.mark.parametrize("max_concurrency", [1, 4])
async def test_a_verdict_of_on_complete_halts_with_its_reason(
    max_concurrency: int, oracle_pages: list[Page], autojump_clock: trio.testing.MockClock
) -> None:
    fake = FakeSearchConsole([simulated_property()], latency=Latency())
    run = await run_against(
        fake,
        max_concurrency=max_concurrency,
        batch_size=2,
        on_complete=lambda each: Halt("that is enough") if each.data_date == day(4) else None,
    )
    assert (run.status, run.reason) == ("halted", "that is enough")
    assert [event for event in run.events if isinstance(event, HaltRequested)] == [
        HaltRequested(Halt("that is enough"))
    ]
    assert [each.data_date for each in run.days][:3] == [day(0), day(3), day(4)]
    assert len(run.pages) < len(oracle_pages)


@pytest.mark.parametrize("max_concurrency", [1, 4])
async def test_what_was_answered_out_of_turn_is_handed_over_after_a_halt(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    late = Fault(Stall(60), data_date=day(0))
    fake = FakeSearchConsole([simulated_property()], faults=[late], part_order="reversed")
    switch = HaltSwitch()

    async def interrupt() -> None:
        await trio.sleep(20)
        switch.request(Halt("interrupted by SIGINT", status="interrupted"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        run = await run_against(
            fake, days=4, max_concurrency=max_concurrency, batch_size=4, halt_switch=switch
        )
    assert run.status == "interrupted"
    assert trio.current_time() == 20
    assert [page.job.data_date for page in run.pages][-2:] == [day(2), day(3)]


@pytest.mark.parametrize("max_concurrency", [1, 4])
async def test_empty_days_in_a_row_end_the_run_at_the_old_end_of_history(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    fake = FakeSearchConsole([simulated_property(first_day=day(10))], latency=Latency())
    run = await run_against(
        fake, days=90, max_concurrency=max_concurrency, batch_size=3, empty_result_limit=5
    )
    assert run.status == "halted"
    assert f"{day(11)} back to {day(15)}" in run.reason
    assert len(fake.calls) < 50


@pytest.mark.parametrize("max_concurrency", [1, 4])
async def test_a_halt_from_outside_stops_fetching_and_says_why(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    fake = FakeSearchConsole([simulated_property()], latency=Latency(seconds_per_call=10))
    switch = HaltSwitch()

    async def interrupt() -> None:
        await trio.sleep(25)
        switch.request(Halt("interrupted by SIGINT", status="interrupted"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        run = await run_against(
            fake, max_concurrency=max_concurrency, batch_size=1, halt_switch=switch
        )
    assert (run.status, run.reason) == ("interrupted", "interrupted by SIGINT")
    assert trio.current_time() == 25
    assert len(run.pages) == 2 * max_concurrency


async def test_a_rate_limited_worker_puts_its_batch_back_before_it_sleeps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = FakeSearchConsole([simulated_property()])
    settings = Settings(max_concurrency=2, batch_size=4, queries_per_minute=6)
    run, telemetry = Run(), Instruments()
    plan = [Job(day(number)) for number in range(10)]
    delivery = Delivery(QUERY, NoStore(), EmptyDays(None, END, {}), telemetry, END)
    async with (
        client_of(fake, settings, [run]) as client,
        open_coordinator(plan, delivery, settings=settings) as coordinator,
        trio.open_nursery() as nursery,
    ):
        with await client.limiter.acquire(client.user, SITE, 5):
            concurrency = Concurrency(2)
            retry_policy = RetryPolicy(
                SITE, client.user, settings, concurrency, client.limiter, telemetry
            )
            journal = QuotaJournal(NoStore(), client.limiter)
            fetcher = Fetcher(client, QUERY, journal, telemetry)
            pool = WorkerPool(coordinator, fetcher, retry_policy, settings, concurrency, telemetry)
            nursery.start_soon(pool.run)
            await trio.testing.wait_all_tasks_blocked()
            # One permit was left: one job was fetched, and nobody sleeps with a job in hand.
            assert [call.data_date for call in fake.calls] == [str(day(0))]
            statistics = coordinator.statistics()
            assert (statistics.in_flight, statistics.queue_depth) == (0, 9)
            batch = coordinator.take_batch("me", max_jobs=1)
            assert batch == Batch((Job(day(1)),))
            coordinator.requeue_batch([Job(day(1))])
    assert coordinator.statistics().queue_depth == 0


async def test_a_crashing_worker_takes_nothing_with_it(
    oracle_pages: list[Page],
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crashes = iter([True, False, True, *[False] * 1_000])
    decode = SearchConsole.query

    async def query(self: SearchConsole, *args: Any, **options: Any) -> Page:
        if next(crashes):
            raise ZeroDivisionError("a bug")
        return await decode(self, *args, **options)

    monkeypatch.setattr(SearchConsole, "query", query)
    run = await run_against(FakeSearchConsole([simulated_property()]), batch_size=1)
    assert run.pages == oracle_pages
    assert [event.crashes for event in run.events if isinstance(event, WorkerCrashed)] == [1, 2]


async def test_too_many_crashes_halt_with_the_cause(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def query(*args: Any, **options: Any) -> Page:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(SearchConsole, "query", query)
    run = await run_against(
        FakeSearchConsole([simulated_property()]), batch_size=1, max_worker_crashes=5
    )
    assert run.status == "failed"
    assert "workers crashed 6 times" in run.reason
    assert "ZeroDivisionError('a bug')" in run.reason


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_an_error_in_a_callback_stops_the_run_and_comes_through(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    def fail(completed: Day) -> None:
        raise KeyError(completed.data_date)

    fake = FakeSearchConsole([simulated_property()], latency=Latency())
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):  # by the transport's nursery
        await run_against(fake, max_concurrency=max_concurrency, on_complete=fail)


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_storage_fault_in_mid_run_fails_with_its_own_words_and_keeps_the_totals(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    class FullDisk(NoStore):
        async def write_pages(self, query: Any, pages: Sequence[Page], changes: Any) -> None:
            if day(3) in {page.job.data_date for page in pages}:
                raise StorageError("cannot write run.db: the disk is full")

    settings = Settings(api_root="http://fake.example", max_concurrency=max_concurrency)
    async with client_of(FakeSearchConsole([simulated_property()]), settings) as client:
        summary = await backfill(
            client, QUERY, FullDisk(), start=day(9), end=END, settings=settings, today=TODAY
        )
    assert summary.status == "failed"
    assert summary.pages == 3 if max_concurrency == 1 else summary.pages <= 3
    assert summary.reason == "cannot write run.db: the disk is full"


async def test_load_quota_pauses_everyone_then_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    message = "Search Analytics load quota exceeded. Learn more."
    fake = FakeSearchConsole(
        [simulated_property()],
        latency=Latency(),
        faults=[Fault(Refuse(403, "quotaExceeded", message), skip=3)],
    )
    run = await run_against(fake, batch_size=4)
    assert run.status == "complete"
    (pause,) = [event for event in run.events if isinstance(event, QuotaPaused)]
    assert pause.seconds == 900
    gaps = [b.time - a.time for a, b in zip(fake.calls, fake.calls[1:], strict=False)]
    assert sum(gap > 800 for gap in gaps) == 1


async def test_async_callbacks_are_awaited_one_at_a_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    busy = 0

    async def on_page(page: Page) -> None:
        nonlocal busy
        busy += 1
        assert busy == 1
        await trio.sleep(1)
        busy -= 1

    settings = Settings(api_root="http://fake.example", batch_size=3)
    fake = FakeSearchConsole([simulated_property()], latency=Latency())
    async with client_of(fake, settings) as client:
        summary = await fetch_all(
            client, QUERY, start=day(5), end=END, settings=settings, on_page=on_page, today=TODAY
        )
    assert (summary.status, summary.pages, summary.days) == ("complete", 11, 6)


async def test_a_range_that_cannot_have_data_is_refused() -> None:
    async with client_of(FakeSearchConsole([]), Settings()) as client:
        with pytest.raises(UsageError, match="in the future"):
            await fetch_all(client, QUERY, start=END, end=dt.date(2026, 6, 21), today=TODAY)


async def test_a_client_without_connection_fails_with_the_cause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed")

    settings = Settings(retry_budget=3)
    async with open_search_console(settings, transport=httpx.MockTransport(refuse)) as client:
        summary = await fetch_all(
            client, QUERY, start=day(5), end=END, settings=settings, today=TODAY
        )
    assert summary.status == "failed"
    assert "All connection attempts failed" in summary.reason
