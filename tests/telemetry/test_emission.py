"""What a run tells of itself, and that it tells the truth."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
import trio
import trio.testing

from gsc_trio.model import Day, Halt
from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    ConcurrencyChanged,
    DayCompleted,
    Event,
    HaltFinished,
    HaltRequested,
    JobsRetried,
    JobsReturned,
    MemoryMeasured,
    PageCommitted,
    PropertyFinished,
    PropertyStarted,
    QuotaExceeded,
    QuotaUsed,
    RequestFinished,
    RowsMoved,
    RunFinished,
    RunStarted,
    TransactionCommitted,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.testing import (
    CutOff,
    Fault,
    MissingPart,
    Refuse,
    run_in_virtual_time,
)
from tests.telemetry.runs import (
    COMMIT_SECONDS,
    SITE,
    TODAY,
    TOKEN,
    Recorder,
    day,
    fake_with_faults,
    run_with,
)

TOO_FAST = Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded.")


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_both_paths_tell_every_batch_worker_request_and_page(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    told, fake = Recorder(), fake_with_faults(Fault(MissingPart()))
    summary = await run_with([told], fake, max_concurrency=max_concurrency, batch_size=4)

    assert told.events[-1] == RunFinished("complete", "", trio.current_time())
    assert len(told.of(RunStarted)) == 1
    names = [event.worker for event in told.of(WorkerStarted)]
    assert len(set(names)) == max_concurrency
    assert sorted(names) == sorted(event.worker for event in told.of(WorkerEnded))

    taken, finished = told.of(BatchTaken), told.of(BatchFinished)
    assert {event.worker for event in (*taken, *finished)} <= set(names)
    assert len(taken) == len(finished) == len(told.of(MemoryMeasured))
    assert [event.status for event in finished].count("partial") == 1
    assert sum(event.jobs for event in finished) == summary.requests == len(fake.calls)
    assert taken[-1].queue_depth == 0
    assert all(event.duration_seconds >= 0.35 for event in finished)

    requests = told.of(RequestFinished)
    assert sum(event.queries for event in requests) == summary.requests
    assert {(event.method, event.status, event.error) for event in requests} == {
        ("POST", 200, None)
    }
    assert all(0.35 <= event.duration_seconds < 60 for event in requests)
    transactions = told.of(TransactionCommitted)
    assert sum(event.pages for event in transactions) == len(told.of(PageCommitted))
    assert sum(event.rows for event in transactions) == summary.rows
    for event in transactions:
        assert event.duration_seconds == pytest.approx(COMMIT_SECONDS)
    assert all(event.resident_bytes > 10_000_000 for event in told.of(MemoryMeasured))
    used = {(event.key, event.used, event.limit) for event in told.of(QuotaUsed)}
    for key, limit in ((f"site {SITE}", 1_200), ("user access-token", 1_200), ("project", 40_000)):
        assert (key, summary.requests, limit) in used
    assert TOKEN not in repr(told.events)


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_refused_queries_are_counted_at_the_users_key(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    told, fake = Recorder(), fake_with_faults(Fault(TOO_FAST, times=3))
    await run_with([told], fake, max_concurrency=max_concurrency, batch_size=2)
    exceeded = told.of(QuotaExceeded)
    assert {event.key for event in exceeded} == {"user access-token"}
    assert sum(event.queries for event in exceeded) == 3
    assert "QPS" in str(exceeded[0].error)


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_what_is_refused_for_another_reason_is_not_counted_as_too_many(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    told, fake = Recorder(), fake_with_faults(Fault(Refuse(503), times=2, whole_request=True))
    await run_with([told], fake, max_concurrency=max_concurrency, batch_size=2)
    assert told.of(JobsRetried)
    assert not told.of(QuotaExceeded)
    assert [event.status for event in told.of(RequestFinished)].count(503) == 2


async def test_a_request_that_breaks_off_is_told_with_its_status_and_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    told, fake = Recorder(), fake_with_faults(Fault(CutOff(), whole_request=True))
    await run_with([told], fake, batch_size=4)
    (broken,) = [event for event in told.of(RequestFinished) if event.error is not None]
    assert broken.status == 200
    assert "broke off" in str(broken.error)


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_jobs_that_go_back_are_told_with_what_the_queue_holds_then(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    told, fake = Recorder(), fake_with_faults(Fault(Refuse(503), times=2))
    await run_with(
        [told], fake, max_concurrency=max_concurrency, batch_size=4, queries_per_minute=5
    )
    queue_and_registry = told.of(BatchTaken | JobsReturned)
    for earlier, later in pairwise(queue_and_registry):
        if isinstance(later, JobsReturned):
            assert later.queue_depth >= earlier.queue_depth + later.jobs
            assert later.in_flight <= earlier.in_flight - later.jobs
    failed = sum(event.failed for event in told.of(BatchFinished))
    assert sum(event.jobs for event in told.of(JobsReturned)) >= failed == 2


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_halt_is_told_with_how_long_it_took(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    def on_complete(completed: Day) -> Halt | None:
        return Halt("enough") if completed.data_date == day(2) else None

    told = Recorder()
    summary = await run_with(
        [told], fake_with_faults(), on_complete=on_complete, max_concurrency=max_concurrency
    )
    assert summary.status == "halted"
    assert len(told.of(HaltRequested)) == len(told.of(HaltFinished)) == 1
    (finished,) = told.of(HaltFinished)
    assert finished.halt.reason == "enough"
    assert 0 <= finished.duration_seconds <= 4.0
    assert told.events[-1] == RunFinished("halted", "enough", trio.current_time())


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_that_is_cancelled_or_fails_is_told_as_over(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    cancelled = Recorder()
    with trio.move_on_after(0.3):
        await run_with([cancelled], fake_with_faults(), max_concurrency=max_concurrency)
    (over,) = cancelled.of(RunFinished)
    assert over.status == "interrupted"
    assert cancelled.of(HaltFinished)

    def on_complete(completed: Day) -> Halt | None:
        raise ZeroDivisionError

    failed = Recorder()
    with pytest.RaisesGroup(
        ZeroDivisionError, flatten_subgroups=True
    ):  # by the transport's nursery
        await run_with(
            [failed], fake_with_faults(), on_complete=on_complete, max_concurrency=max_concurrency
        )
    assert isinstance(failed.events[-1], RunFinished)
    assert failed.events[-1].status == "failed"
    assert "ZeroDivisionError" in failed.events[-1].reason


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_day_whose_rows_move_is_told_to_be_fetched_again_and_then_to_be_complete(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    told = Recorder()
    summary = await run_with(
        [told], fake_with_faults(), moved=[day(1)], max_concurrency=max_concurrency
    )
    of_the_day = [
        event
        for event in told.of(PageCommitted | RowsMoved | DayCompleted)
        if isinstance(event, RowsMoved)
        or (isinstance(event, DayCompleted) and event.day.data_date == day(1))
        or (isinstance(event, PageCommitted) and event.page.job.data_date == day(1))
    ]
    pages = [PageCommitted] * (len(of_the_day) // 2 - 1)
    assert list(map(type, of_the_day)) == [*pages, RowsMoved, *pages, DayCompleted]
    assert (summary.days, summary.days_fetched_again) == (12, 1)


def test_there_is_no_event_that_nothing_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a run with every kind of trouble; the others are told when someone changes the
    concurrency, and when there are several properties.
    """
    told = Recorder()

    async def run() -> None:
        fake = fake_with_faults(Fault(TOO_FAST, skip=6), last_final_day=day(0))
        crashes = iter([True])

        def crash_once(*_: object) -> None:
            if next(crashes, False):
                raise ZeroDivisionError

        await run_with([told], fake, end=TODAY, queries_per_minute=12, batch_size=3, moved=[day(1)])
        await run_with([told], fake_with_faults(), on_complete=lambda _: Halt("enough"))
        monkeypatch.setattr("gsc_trio.retry.RetryPolicy.note_pages", crash_once)
        await run_with([told], fake_with_faults())

    run_in_virtual_time(run)
    assert set(get_args(Event)) - {type(event) for event in told.events} == {
        ConcurrencyChanged,
        PropertyStarted,
        PropertyFinished,
    }
