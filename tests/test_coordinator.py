"""The coordinator's promises, without a network: limits, order, dedup, backpressure, halts."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gsc_trio.batch import Backpressure, Batch, Halted, NoMoreWork
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.coordinator import MAX_BYTES_TOGETHER, Coordinator, open_coordinator
from gsc_trio.errors import MalformedResponseError, StorageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, InFlightChanges, Job, Page, Row
from gsc_trio.telemetry.events import HaltRequested
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.testing.virtual_time import SpillInMemory, run_in_virtual_time

ROW_LIMIT = 3
FIRST_DAY = dt.date(2026, 1, 1)


def day(number: int) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=number)


def one_worker(**options: Any) -> Settings:
    """Settings whose batches are as large as they may be: there is no one to share with."""
    return Settings(max_concurrency=1, **options)


def plan_of(days: int) -> list[Job]:
    return [Job(day(number)) for number in range(days)]


def page_of(job: Job, rows: int = 1, content_bytes: int = 100) -> Page:
    keys = [(f"{job.data_date}/{job.start_row + number}",) for number in range(rows)]
    return Page(job, [Row(keys=key) for key in keys], ROW_LIMIT, content_bytes)


@attrs.define(eq=False)
class ListSink:
    """Keeps pages in the order in which they come, slowly if asked."""

    seconds_per_page: float = 0.0
    verdict: Callable[[Page], Halt | None] = lambda page: None
    pages: list[Page] = attrs.field(factory=list)
    in_flight: set[Job] = attrs.field(factory=set)
    begun: list[Job] = attrs.field(factory=list)
    handed_over: list[int] = attrs.field(factory=list)
    """How many pages came each time."""
    takes_several: bool = False
    prepared: list[Job] = attrs.field(factory=list)

    async def prepare(self, page: Page) -> Page:
        self.prepared.append(page.job)
        return attrs.evolve(page, prepared=page.job)

    async def deliver(self, pages: Sequence[Page], changes: InFlightChanges) -> Halt | None:
        self.begun.extend(page.job for page in pages)
        self._apply(changes)
        await trio.sleep(self.seconds_per_page)
        self.in_flight -= {page.job for page in pages}
        self.pages.extend(pages)
        self.handed_over.append(len(pages))
        return next(filter(None, map(self.verdict, pages)), None)

    async def record_in_flight(self, changes: InFlightChanges) -> None:
        self._apply(changes)

    def _apply(self, changes: InFlightChanges) -> None:
        self.in_flight -= set(changes.returned)
        self.in_flight |= {job for job, _ in changes.taken}

    @property
    def jobs(self) -> list[Job]:
        return [page.job for page in self.pages]


def sequential_order(plan: list[Job], rows_of: Callable[[Job], int]) -> list[Job]:
    """What a plain queue would do: the oracle for order and follow-up jobs."""
    queue, order = list(dict.fromkeys(plan)), []
    while queue:
        job = queue.pop(0)
        order.append(job)
        if rows_of(job) == ROW_LIMIT:
            queue.append(Job(job.data_date, job.start_row + ROW_LIMIT))
    return order


def taken(answer: object) -> tuple[Job, ...]:
    assert isinstance(answer, Batch), answer
    return answer.jobs


async def drain(
    coordinator: Coordinator, rows_of: Callable[[Job], int], name: str = "worker", **page: int
) -> None:
    """A worker without network: answer everything, in the order in which it is given out."""
    while True:
        batch = coordinator.take_batch(name)
        if isinstance(batch, Backpressure):
            await coordinator.backpressure_relieved()
        elif isinstance(batch, Batch):
            for job in batch.jobs:
                await coordinator.submit_results(page_of(job, rows_of(job), **page))
        else:
            return


async def test_the_queue_is_drained_in_order_with_follow_ups_after_the_plan() -> None:
    sink = ListSink()

    def rows_of(job: Job) -> int:
        return ROW_LIMIT if job in {Job(day(0)), Job(day(2)), Job(day(0), 3)} else 1

    async with open_coordinator(plan_of(4), sink, settings=one_worker(batch_size=3)) as coordinator:
        await drain(coordinator, rows_of)
        assert coordinator.take_batch("worker") == NoMoreWork()
        assert await coordinator.finalize() is None
    assert sink.jobs == [
        *plan_of(4),
        Job(day(0), 3),
        Job(day(2), 3),
        Job(day(0), 6),
    ]
    assert sink.in_flight == set()


async def test_a_batch_is_no_more_than_a_fair_share_of_what_is_not_answered() -> None:
    settings = Settings(max_concurrency=3, batch_size=50)
    async with open_coordinator(plan_of(20), ListSink(), settings=settings) as coordinator:
        sizes = []
        while isinstance(batch := coordinator.take_batch("worker"), Batch):
            sizes.append(len(batch.jobs))
        assert sizes == [7, 7, 6]
        coordinator.halt(Halt("enough"))
    async with open_coordinator(plan_of(900), ListSink(), settings=settings) as coordinator:
        assert len(taken(coordinator.take_batch("worker"))) == 50
        coordinator.halt(Halt("enough"))


async def test_limits_follow_the_concurrency_in_force() -> None:
    settings, concurrency = Settings(max_concurrency=3, batch_size=50), Concurrency(3)
    async with open_coordinator(
        plan_of(21), ListSink(), settings=settings, concurrency=concurrency
    ) as coordinator:
        assert len(taken(coordinator.take_batch("worker"))) == 7
        concurrency.change(1, "rollback")
        assert len(taken(coordinator.take_batch("worker"))) == 14
        coordinator.halt(Halt("enough"))
    settings = Settings(batch_size=1)
    async with open_coordinator(
        plan_of(21), ListSink(), settings=settings, concurrency=concurrency
    ) as coordinator:
        first, _ = (taken(coordinator.take_batch("worker")) for _ in range(2))
        assert coordinator.take_batch("worker") == Backpressure("max_in_flight")
        concurrency.change(2, "more")
        assert len(taken(coordinator.take_batch("worker"))) == 1
        concurrency.change(1, "rollback")
        assert coordinator.take_batch("worker") == Backpressure("max_in_flight")
        coordinator.requeue_batch(first)
        assert taken(coordinator.take_batch("worker")) == first  # nothing else moves the run on
        coordinator.halt(Halt("enough"))


async def test_batches_are_dealt_like_cards() -> None:
    settings = Settings(max_concurrency=3, batch_size=4)
    async with open_coordinator(plan_of(40), ListSink(), settings=settings) as coordinator:
        batches = [taken(coordinator.take_batch("worker")) for _ in range(4)]
        assert batches == [
            tuple(Job(day(number)) for number in numbers)
            for numbers in ([0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11], [12, 13, 14, 15])
        ]
        coordinator.requeue_batch(batches[1])
        assert taken(coordinator.take_batch("worker")) == batches[1]
        coordinator.halt(Halt("enough"))


@pytest.mark.parametrize("max_concurrency", [2, 10, 25])
@pytest.mark.parametrize("batch_size", [10, 50])
async def test_workers_who_answer_at_the_same_pace_leave_little_waiting(
    autojump_clock: trio.testing.MockClock, max_concurrency: int, batch_size: int
) -> None:
    settings = Settings(max_concurrency=max_concurrency, batch_size=batch_size)
    async with open_coordinator(plan_of(480), ListSink(), settings=settings) as coordinator:

        async def work(name: str) -> None:
            while isinstance(batch := coordinator.take_batch(name), Batch):
                for job in batch.jobs:
                    await trio.sleep(1)
                    await coordinator.submit_results(page_of(job, 1))

        async with trio.open_nursery() as nursery:
            for number in range(max_concurrency):
                nursery.start_soon(work, f"worker-{number}")
        await coordinator.finalize()
        pages_waiting = (
            coordinator.statistics().peak_waiting_bytes / page_of(plan_of(1)[0], 1).content_bytes
        )
    assert pages_waiting <= 3 * max_concurrency


async def test_a_doubled_job_or_answer_counts_once() -> None:
    sink = ListSink()
    plan = [*plan_of(2), *plan_of(2)]
    async with open_coordinator(plan, sink, settings=one_worker()) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        assert jobs == (Job(day(0)), Job(day(1)))
        for job in (jobs[1], jobs[0], jobs[0], Job(day(9))):
            await coordinator.submit_results(page_of(job))
    assert sink.jobs == plan_of(2)


async def test_a_doubled_answer_weighs_once_while_it_waits() -> None:
    async with open_coordinator(plan_of(2), ListSink(), settings=one_worker()) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        for _ in range(2):
            await coordinator.submit_results(page_of(jobs[1]))
        assert coordinator.statistics().waiting_bytes == 100
        await coordinator.submit_results(page_of(jobs[0]))


async def test_a_job_that_goes_back_wakes_a_worker_that_has_nothing_to_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink()
    async with open_coordinator(plan_of(1), sink, settings=one_worker()) as coordinator:
        jobs = taken(coordinator.take_batch("one"))

        async def wait_then_fetch() -> None:
            assert coordinator.take_batch("two") == Backpressure("follow_ups")
            await coordinator.backpressure_relieved()
            assert taken(coordinator.take_batch("two")) == jobs
            await coordinator.submit_results(page_of(jobs[0]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_then_fetch)
            await trio.testing.wait_all_tasks_blocked()
            coordinator.requeue_batch(jobs)
            await trio.testing.wait_all_tasks_blocked()
            assert sink.jobs == plan_of(1)
            nursery.cancel_scope.cancel()


async def test_pages_wait_for_their_turn_however_they_are_answered() -> None:
    sink = ListSink()
    async with open_coordinator(plan_of(4), sink, settings=one_worker()) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        for job in jobs[:0:-1]:
            await coordinator.submit_results(page_of(job))
        await trio.testing.wait_all_tasks_blocked()
        assert sink.jobs == []
        await coordinator.submit_results(page_of(jobs[0]))
    assert sink.jobs == plan_of(4)


@pytest.mark.parametrize(
    ("takes_several", "page_bytes", "together"),
    [
        (False, 10, [1] * 8),
        (True, 10, [1, 2, 5]),
        (True, MAX_BYTES_TOGETHER // 2, [1, 2, 2, 2, 1]),
        (True, MAX_BYTES_TOGETHER + 1, [1] * 8),
    ],
)
async def test_what_is_ready_when_the_sink_is_goes_to_it_together(
    takes_several: bool,
    page_bytes: int,
    together: list[int],
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(seconds_per_page=1, takes_several=takes_several)
    settings = one_worker(batch_size=9, max_waiting_bytes=100 * MAX_BYTES_TOGETHER)
    async with open_coordinator(plan_of(8), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        await coordinator.submit_results(page_of(jobs[0], 1, content_bytes=page_bytes))
        await trio.sleep(0.5)
        for job in (*jobs[1:3], *jobs[4:]):  # the fourth is missed for a while
            await coordinator.submit_results(page_of(job, 1, content_bytes=page_bytes))
        await trio.sleep(2)
        await coordinator.submit_results(page_of(jobs[3], 1, content_bytes=page_bytes))
        await coordinator.finalize()
    assert sink.jobs == plan_of(8)
    assert sink.handed_over == together


async def test_a_page_in_the_spill_file_is_handed_over_by_itself() -> None:
    sink = ListSink(takes_several=True)
    settings = one_worker(batch_size=9, max_waiting_bytes=25)
    async with open_coordinator(plan_of(5), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        for job in (*jobs[1:], jobs[0]):
            await coordinator.submit_results(page_of(job, 1, content_bytes=10))
        await coordinator.finalize()
        assert coordinator.statistics().pages_spilled == 2
    assert sink.jobs == plan_of(5)
    assert sink.handed_over == [3, 1, 1]


async def test_a_batch_that_goes_back_comes_first_and_in_order() -> None:
    async with open_coordinator(
        plan_of(9), ListSink(), settings=one_worker(batch_size=3)
    ) as coordinator:
        first, second = (taken(coordinator.take_batch("worker")) for _ in range(2))
        coordinator.requeue_batch(second)
        coordinator.requeue_batch(first)
        assert taken(coordinator.take_batch("worker")) == first
        assert taken(coordinator.take_batch("worker")) == second
        coordinator.halt(Halt("enough"))


async def test_only_what_is_not_answered_goes_back() -> None:
    async with open_coordinator(
        plan_of(3), ListSink(), settings=one_worker(batch_size=3)
    ) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        await coordinator.submit_results(page_of(jobs[1]))
        coordinator.requeue_batch(jobs)
        assert taken(coordinator.take_batch("worker")) == (jobs[0], jobs[2])
        coordinator.halt(Halt("enough"))


async def test_a_full_queue_gives_its_tail_back_when_a_batch_returns() -> None:
    sink = ListSink()
    settings = one_worker(batch_size=2, max_queue_size=2)
    async with open_coordinator(plan_of(7), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        assert coordinator.statistics().queue_depth == 2
        coordinator.requeue_batch(jobs)
        assert coordinator.statistics().queue_depth == 2
        assert taken(coordinator.take_batch("worker")) == jobs
        coordinator.requeue_batch(jobs)
        await drain(coordinator, lambda job: 1)
    assert sink.jobs == plan_of(7)


async def test_jobs_that_come_back_one_by_one_are_in_order_beyond_the_queue_too() -> None:
    sink, concurrency = ListSink(), Concurrency(3)
    settings = Settings(batch_size=1, max_queue_size=1)
    async with open_coordinator(
        plan_of(8), sink, settings=settings, concurrency=concurrency
    ) as coordinator:
        jobs = [taken(coordinator.take_batch("worker"))[0] for _ in range(6)]
        for job in (jobs[0], jobs[1], jobs[2], jobs[4]):
            coordinator.requeue_batch([job])
        await coordinator.submit_results(page_of(jobs[3]))
        await coordinator.submit_results(page_of(jobs[5]))
        # What is answered fills the limit, so that only the next job in line may be taken.
        concurrency.change(1, "rollback")
        with trio.fail_after(5):
            await drain(coordinator, lambda job: 1)
    assert sink.jobs == plan_of(8)


async def test_it_says_which_limit_holds_a_worker_back_and_when_it_is_relieved(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink()
    settings = one_worker(batch_size=2, max_in_flight=2)
    async with open_coordinator(plan_of(3), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("one"))
        assert coordinator.take_batch("two") == Backpressure("max_in_flight")
        relieved = trio.Event()

        async def wait() -> None:
            await coordinator.backpressure_relieved()
            relieved.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert not relieved.is_set()
            await coordinator.submit_results(page_of(jobs[0]))
            with trio.fail_after(1):
                await relieved.wait()
        assert taken(coordinator.take_batch("two")) == (Job(day(2)),)
        await coordinator.submit_results(page_of(jobs[1]))
        assert coordinator.take_batch("one") == Backpressure("follow_ups")
        await coordinator.submit_results(page_of(Job(day(2)), ROW_LIMIT))
        await trio.testing.wait_all_tasks_blocked()
        assert taken(coordinator.take_batch("two")) == (Job(day(2), ROW_LIMIT),)
        assert coordinator.take_batch("one") == Backpressure("follow_ups")
        await coordinator.submit_results(page_of(Job(day(2), ROW_LIMIT)))
        await trio.testing.wait_all_tasks_blocked()
        assert coordinator.take_batch("one") == NoMoreWork()


async def test_batches_stay_full_when_the_in_flight_limit_binds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sizes = []
    settings = one_worker(batch_size=10, max_in_flight=15)
    async with open_coordinator(plan_of(100), ListSink(), settings=settings) as coordinator:

        async def work() -> None:
            while True:
                batch = coordinator.take_batch("worker")
                if isinstance(batch, Backpressure):
                    await coordinator.backpressure_relieved()
                elif isinstance(batch, Batch):
                    sizes.append(len(batch.jobs))
                    await trio.sleep(1)
                    for job in batch.jobs:
                        await coordinator.submit_results(page_of(job))
                else:
                    return

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work)
    assert sizes == [10] * 10


async def answer_or_fail(coordinator: Coordinator, page: Page, chance: random.Random) -> None:
    """What a worker does with an answer, which may turn out to be damaged when it is decoded."""
    await trio.sleep(chance.choice([0, 0.1, 1, 10]))
    if chance.random() < 0.7:
        with suppress(MalformedResponseError):
            async with coordinator.admit(page.job, page.content_bytes):
                await trio.sleep(chance.choice([0, 0.1]))
                if chance.random() < 0.2:
                    raise MalformedResponseError("damaged")
            await coordinator.submit_results(page)
    elif chance.random() < 0.8:
        await coordinator.submit_results(page)


@given(
    seed=st.integers(0, 2**32),
    days=st.integers(1, 25),
    workers=st.integers(1, 6),
    batch_size=st.integers(1, 7),
    max_queue_size=st.integers(1, 8),
    max_in_flight=st.integers(1, 12),
    max_waiting_bytes=st.sampled_from([1, 150, 1_000, 10_000]),
    seconds_per_page=st.sampled_from([0.0, 0.5]),
    takes_several=st.booleans(),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_any_limits_any_delays_and_failures_give_the_sequential_order(
    seed: int,
    days: int,
    workers: int,
    batch_size: int,
    max_queue_size: int,
    max_in_flight: int,
    max_waiting_bytes: int,
    seconds_per_page: float,
    takes_several: bool,
) -> None:
    rows = random.Random(seed)
    full_days = {day(number) for number in range(days) if rows.random() < 0.3}

    def rows_of(job: Job) -> int:
        return ROW_LIMIT if job.data_date in full_days and job.start_row < 6 else job.start_row // 3

    async def run() -> None:
        chance = random.Random(seed)
        sink = ListSink(seconds_per_page, takes_several=takes_several)
        settings = Settings(
            batch_size=batch_size,
            max_queue_size=max_queue_size,
            max_in_flight=max_in_flight,
            max_waiting_bytes=max_waiting_bytes,
        )

        async def work(name: str) -> None:
            while True:
                batch = coordinator.take_batch(name)
                if isinstance(batch, Backpressure):
                    await coordinator.backpressure_relieved()
                    continue
                if not isinstance(batch, Batch):
                    return
                for job in chance.sample(batch.jobs, len(batch.jobs)):
                    await answer_or_fail(coordinator, page_of(job, rows_of(job)), chance)
                coordinator.requeue_batch(batch.jobs)

        with trio.fail_after(1_000_000):  # a deadlock ends here, in virtual time
            async with (
                open_coordinator(
                    plan_of(days), sink, settings=settings, spill=SpillInMemory()
                ) as coordinator,
                trio.open_nursery() as nursery,
            ):
                for number in range(workers):
                    nursery.start_soon(work, f"worker-{number}")
            statistics = coordinator.statistics()
        assert sink.jobs == sequential_order(plan_of(days), rows_of)
        assert sink.in_flight == set()
        assert statistics.peak_queue_depth <= max_queue_size
        assert statistics.peak_in_flight <= max_in_flight
        assert statistics.peak_waiting_bytes <= max_waiting_bytes + 2 * 100
        assert (statistics.queue_depth, statistics.in_flight, statistics.waiting_bytes) == (0, 0, 0)

    run_in_virtual_time(run)


async def test_a_lagging_sink_holds_the_worker_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(seconds_per_page=1)
    settings = one_worker(max_waiting_bytes=250)
    async with open_coordinator(plan_of(10), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        for number, job in enumerate(jobs):
            await coordinator.submit_results(page_of(job))
            # It reads on only while one page is being written and one waits.
            assert number + 1 - len(sink.pages) <= 2
        assert coordinator.statistics().pages_spilled == 0
    assert sink.jobs == plan_of(10)


async def test_room_goes_to_the_page_that_is_needed_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(seconds_per_page=1)
    admitted = []
    settings = Settings(max_concurrency=5, batch_size=1, max_waiting_bytes=100)
    async with (
        open_coordinator(plan_of(5), sink, settings=settings) as coordinator,
        trio.open_nursery() as nursery,
    ):
        jobs = [taken(coordinator.take_batch("worker"))[0] for _ in range(5)]

        async def answer(job: Job, after: float) -> None:
            await trio.sleep(after)
            async with coordinator.admit(job, 100):
                admitted.append(job)
            await coordinator.submit_results(page_of(job))

        for number, job in enumerate(jobs):
            nursery.start_soon(answer, job, 0 if number == 0 else 0.9 - number / 10)
    assert admitted == sink.jobs == jobs
    assert coordinator.statistics().pages_spilled == 0


async def test_an_answer_that_was_let_in_and_never_comes_gives_its_room_back() -> None:
    settings = one_worker(batch_size=2, max_waiting_bytes=100)
    async with open_coordinator(plan_of(2), ListSink(), settings=settings) as coordinator:
        first, second = taken(coordinator.take_batch("worker"))
        with pytest.raises(MalformedResponseError):
            async with coordinator.admit(first, 100):
                raise MalformedResponseError("damaged")
        assert coordinator.statistics().waiting_bytes == 0
        async with coordinator.admit(first, 100):
            coordinator.requeue_batch([first])
        assert coordinator.statistics().waiting_bytes == 0
        with trio.fail_after(5):
            await coordinator.submit_results(page_of(second))
        assert taken(coordinator.take_batch("worker")) == (first,)
        await coordinator.submit_results(page_of(first))


async def test_pages_that_wait_for_order_are_spilled_instead() -> None:
    sink = ListSink()
    settings = one_worker(max_waiting_bytes=250)
    async with open_coordinator(plan_of(20), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        for job in jobs[:0:-1]:
            with trio.fail_after(5):
                await coordinator.submit_results(page_of(job, rows=2))
            assert coordinator.statistics().waiting_bytes <= 250
        assert coordinator.statistics().pages_spilled == 17
        await coordinator.submit_results(page_of(jobs[0], rows=2))
    assert [page.rows for page in sink.pages] == [page_of(job, 2).rows for job in plan_of(20)]


async def test_a_page_is_prepared_while_another_is_handed_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(seconds_per_page=1)
    async with open_coordinator(plan_of(2), sink, settings=one_worker()) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        await coordinator.submit_results(page_of(jobs[0]))
        await trio.sleep(0.5)
        await coordinator.submit_results(page_of(jobs[1]))
        assert (sink.begun, sink.prepared) == ([jobs[0]], [*jobs])
    assert [page.prepared for page in sink.pages] == [*jobs]


async def test_a_page_that_goes_into_the_spill_file_is_not_prepared() -> None:
    sink = ListSink()
    settings = one_worker(max_waiting_bytes=250)
    async with open_coordinator(plan_of(4), sink, settings=settings) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        for job in jobs[:0:-1]:
            await coordinator.submit_results(page_of(job))
        assert coordinator.statistics().pages_spilled == 1
        assert len(sink.prepared) == 2
        await coordinator.submit_results(page_of(jobs[0]))
    assert sink.jobs == [*jobs]


async def test_a_verdict_halts_and_what_was_answered_is_still_written(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(verdict=lambda page: Halt("seen enough") if page.job == Job(day(1)) else None)
    async with open_coordinator(plan_of(6), sink, settings=one_worker(batch_size=6)) as coordinator:
        with coordinator.worker_scope:
            jobs = taken(coordinator.take_batch("worker"))
            await coordinator.submit_results(page_of(jobs[3]))
            await coordinator.submit_results(page_of(jobs[0]))
            await coordinator.submit_results(page_of(jobs[1]))
            await trio.sleep_forever()
        assert coordinator.take_batch("worker") == Halted(Halt("seen enough"))
        assert await coordinator.finalize() == Halt("seen enough")
    assert sink.jobs == [jobs[0], jobs[1], jobs[3]]
    assert sink.in_flight == set()


async def test_the_first_reason_for_a_halt_counts_and_is_told() -> None:
    heard = []

    class Listener:
        def handle(self, event: object) -> None:
            if isinstance(event, HaltRequested):
                heard.append(event.halt)

    async with open_coordinator(
        plan_of(1), ListSink(), settings=one_worker(), instruments=Instruments([Listener()])
    ) as coordinator:
        coordinator.halt(Halt("first"))
        coordinator.halt(Halt("second"))
        assert await coordinator.finalize() == Halt("first")
    assert heard == [Halt("first")]


async def test_a_storage_error_halts_with_its_own_words() -> None:
    class BrokenSink(ListSink):
        async def deliver(self, pages: Sequence[Page], changes: InFlightChanges) -> Halt | None:
            raise StorageError("the disk is full")

    async with open_coordinator(plan_of(2), BrokenSink(), settings=one_worker()) as coordinator:
        with coordinator.worker_scope:
            jobs = taken(coordinator.take_batch("worker"))
            await coordinator.submit_results(page_of(jobs[0]))
            await trio.sleep_forever()
        halt = await coordinator.finalize()
    assert halt is not None
    assert (halt.status, halt.reason) == ("failed", "the disk is full")


@pytest.mark.parametrize("grace_seconds", [0.5, 2.5])
async def test_a_halt_is_over_after_the_grace_time(
    grace_seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    sink = ListSink(seconds_per_page=1)
    settings = Settings(max_concurrency=1, grace_seconds=grace_seconds)
    async with open_coordinator(plan_of(5), sink, settings=settings) as coordinator:
        for job in taken(coordinator.take_batch("worker")):
            await coordinator.submit_results(page_of(job))
        coordinator.halt(Halt("enough"))
    assert trio.current_time() == pytest.approx(grace_seconds)
    assert len(sink.pages) == int(grace_seconds)


async def test_a_hurried_halt_does_not_wait_for_the_grace_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink, switch = ListSink(seconds_per_page=1), HaltSwitch()
    async with open_coordinator(
        plan_of(5), sink, settings=one_worker(), halt_switch=switch
    ) as coordinator:
        for job in taken(coordinator.take_batch("worker")):
            await coordinator.submit_results(page_of(job))
        switch.request(Halt("interrupted", status="interrupted"))
        switch.hurry()
    assert trio.current_time() == 0
    assert sink.pages == []


async def test_cancelling_the_caller_still_writes_what_was_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(seconds_per_page=1)
    with trio.move_on_after(0.5) as scope:
        async with open_coordinator(plan_of(9), sink, settings=one_worker()) as coordinator:
            for job in taken(coordinator.take_batch("worker"))[:3]:
                await coordinator.submit_results(page_of(job))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert sink.jobs == plan_of(3)
    assert trio.current_time() == 3


async def test_cancelling_the_caller_is_bounded_by_the_grace_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sink = ListSink(seconds_per_page=1_000)
    with trio.move_on_after(0.5):
        async with open_coordinator(plan_of(9), sink, settings=one_worker()) as coordinator:
            for job in taken(coordinator.take_batch("worker"))[:3]:
                await coordinator.submit_results(page_of(job))
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(0.5 + Settings().grace_seconds)


async def test_an_error_in_the_body_comes_through_alone() -> None:
    with pytest.RaisesGroup(ZeroDivisionError):
        async with open_coordinator(plan_of(9), ListSink(), settings=one_worker()):
            _ = 1 / 0


async def test_the_registry_is_written_down_while_no_page_is_there() -> None:
    sink = ListSink()
    async with open_coordinator(plan_of(5), sink, settings=one_worker(batch_size=2)) as coordinator:
        jobs = taken(coordinator.take_batch("worker"))
        await trio.testing.wait_all_tasks_blocked()
        assert sink.in_flight == set(jobs)
        coordinator.requeue_batch(jobs[:1])
        await trio.testing.wait_all_tasks_blocked()
        assert sink.in_flight == {jobs[1]}
        coordinator.halt(Halt("enough"))
    # What is given back by a halt is not in flight any more, though no page takes that along.
    assert sink.in_flight == set()
