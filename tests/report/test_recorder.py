"""What a run's record holds is what happened."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import MockClock

from gsc_trio.config import Settings
from gsc_trio.errors import RateLimitExceededError, StorageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, Job, Page, SearchAnalyticsQuery
from gsc_trio.report.record import RunRecord, from_json, to_json
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.report.watchers import NOTES_KEPT
from gsc_trio.store.base import StoredDay
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
    Event,
    JobsRetried,
    MemoryMeasured,
    PageAnswered,
    PageCommitted,
    QuotaPaused,
    RequestFinished,
    RequestSent,
    RunFinished,
    RunStarted,
    WorkerCrashed,
)
from gsc_trio.testing import Fault, Refuse
from tests.report.runs import bad_record, good_record, record_of
from tests.telemetry.runs import TOKEN, day, fake_with_faults

QUERY = SearchAnalyticsQuery("sc-domain:example.com")
START = dt.date(2026, 3, 1)
DAYS = [START + dt.timedelta(days=number) for number in range(6)]


async def test_its_series_add_up_to_the_summary(autojump_clock: MockClock) -> None:
    record = await bad_record()
    summary, series = record.summary, record.series
    assert summary.status == "complete"
    assert sum(series.queries) == summary.requests > 0
    assert sum(series.rows) == summary.rows > 0
    assert sum(series.retries) == summary.retries > 0
    assert max(series.queries_per_minute) == summary.peak_queries_per_minute
    assert sum(series.refused) == record.refused > 0
    assert max(series.in_flight) == record.peaks.in_flight > 0
    assert max(series.queue_depth) == record.peaks.queue_depth > 0
    assert record.latencies.queries.count == summary.requests
    assert 0 < record.latencies.commits.count < summary.pages
    lengths = {len(each) for each in (series.queries, series.rows, series.workers)}
    assert lengths == {len(series.resident_bytes)}
    assert len(series.rows) * series.slot_seconds >= summary.duration_seconds


async def test_refusals_pauses_and_retries_are_told_with_their_reasons(
    autojump_clock: MockClock,
) -> None:
    record = await bad_record("Too fast, slow down")
    jobs = {each.reason: each.jobs for each in record.retries}
    assert set(jobs) == {"backend", "rate_limit_exceeded"}
    assert sum(jobs.values()) == record.summary.retries
    assert record.refused == 2
    assert record.pauses > 0
    assert record.paused_seconds == pytest.approx(sum(record.series.paused_seconds), abs=0.1)
    assert record.paused_seconds > 0
    assert any("pauses for" in note.text and "Too fast" in note.text for note in record.notes)
    assert any(each.last_error.startswith("Too fast, slow down") for each in record.retries)


async def test_every_day_of_the_range_has_a_state(autojump_clock: MockClock) -> None:
    record = await bad_record()
    dates = [day(number) for number in range(11, -3, -1)]
    assert [each.data_date for each in record.days] == dates
    assert [each.state for each in record.days] == ["complete"] * 12 + ["left out"] * 2
    assert sum(each.rows for each in record.days) == record.summary.rows


async def test_a_halt_leaves_days_missing_and_says_how_long_it_took(
    autojump_clock: MockClock,
) -> None:
    switch = HaltSwitch()

    async def interrupt() -> None:
        await trio.sleep(2.5)
        switch.request(Halt("Ctrl-C", status="interrupted"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        record = await record_of(fake_with_faults(), days=40, halt_switch=switch)
    states = Counter(each.state for each in record.days)
    assert record.summary.status == "interrupted"
    assert states["complete"] == record.summary.days > 0
    assert states["missing"] > 0
    assert record.halt_seconds is not None
    assert record.halt_seconds <= 5
    assert [note.text for note in record.notes][-2].endswith("Ctrl-C")


async def test_the_plain_loop_is_recorded_too(autojump_clock: MockClock) -> None:
    record = await record_of(fake_with_faults(Fault(Refuse(503), times=1)), max_concurrency=1)
    assert record.summary.status == "complete"
    assert (record.limits.max_concurrency, record.peaks.workers) == (1, 1)
    assert record.peaks.in_flight > 0
    assert [each.reason for each in record.retries] == ["backend"]


@pytest.mark.parametrize("make", [good_record, bad_record])
async def test_its_json_gives_the_same_record_again_and_has_no_secret(
    make: Callable[[], Awaitable[RunRecord]], autojump_clock: MockClock
) -> None:
    record = await make()
    text = to_json(record)
    assert from_json(text) == record
    assert TOKEN not in text
    assert "\n" not in text


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"summary": 1}', "\x00", "nonsense"])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match="not one of this version"):
        from_json(text)


@attrs.define(eq=False)
class Told:
    """A recorder that is told events by hand, at chosen moments."""

    clock: MockClock
    recorder: RunRecorder = attrs.field(factory=RunRecorder)

    @classmethod
    def begin(cls, clock: MockClock) -> Told:
        """A run that begins now, with one of its days stored already."""
        told = cls(clock)
        told.tell(RunStarted(QUERY.site_url, DAYS[0], DAYS[-1], 5, days_stored=(DAYS[0],)))
        return told

    def tell(self, *events: Event, after: float = 0.0) -> None:
        """Events that happen so many seconds after those before."""
        self.clock.jump(after)
        for event in events:
            self.recorder.handle(event)

    def record(self, stored: dict[dt.date, StoredDay] | None = None) -> RunRecord:
        summary = RunSummary(
            status="complete",
            reason="",
            site=QUERY.site_url,
            start=DAYS[0],
            end=DAYS[-1],
            days=0,
            pages=0,
            rows=0,
            requests=0,
            http_batches=0,
            retries=0,
            duration_seconds=0.0,
            peak_queries_per_minute=0,
        )
        return self.recorder.record(summary, QUERY, Settings(), stored)


def page_of(number: int) -> Page:
    return Page(Job(DAYS[number]), [], 10, content_bytes=1_000 + number)


async def test_the_last_minute_is_told_also_while_nothing_is_sent(mock_clock: MockClock) -> None:
    told = Told.begin(mock_clock)
    told.tell(RequestSent(100, True))
    told.tell(RequestSent(20, True), after=30)
    told.tell(RunFinished("complete", "", 200.0), after=170)
    series = told.record().series
    moments = (10, 40, 58, 65, 88, 95, 150)
    assert [series.queries_per_minute[int(each / series.slot_seconds)] for each in moments] == [
        *(100, 120, 120, 20, 20, 0, 0)
    ]


async def test_a_pause_that_is_renewed_counts_once_and_one_that_is_cut_short_to_its_end(
    mock_clock: MockClock,
) -> None:
    told = Told.begin(mock_clock)
    error = RateLimitExceededError("too fast", status=429)
    told.tell(QuotaPaused("user me", 10.0, error), after=5)
    told.tell(QuotaPaused("user me", 10.0, error), after=4)
    told.tell(QuotaPaused("user me", 900.0, error), after=40)
    told.tell(RunFinished("interrupted", "", 100.0), after=51)
    record = told.record()
    assert record.pauses == 3
    assert record.paused_seconds == pytest.approx(14 + 51)
    assert "user me" not in to_json(record)


async def test_memory_is_bounded_however_much_happens(mock_clock: MockClock) -> None:
    told = Told.begin(mock_clock)
    error = RateLimitExceededError("x" * 10_000, status=429)
    for number in range(1_000):
        told.tell(
            BatchTaken("worker-1", 50, number % 900, number % 300),
            RequestSent(50, True),
            RequestFinished("POST", "https://x/", 50, 200, 0.001 * number, None),
            PageAnswered(page_of(number % 5)),
            PageCommitted(page_of(number % 5)),
            JobsRetried((Job(START),), error, 1.0),
            QuotaPaused("user me", 1.0, error),
            MemoryMeasured(10**9, 10**7),
            ConcurrencyChanged(3, 5, "y" * 1_000),
            WorkerCrashed("worker-1", error, 1),
            after=37.0,
        )
    record = told.record()
    assert len(record.series.rows) <= 240
    assert len(record.notes) == 2 * NOTES_KEPT
    assert record.notes_left_out == 3 * 1_000 - 2 * NOTES_KEPT
    assert record.crashes == 1_000
    assert record.limits.max_concurrency == 5
    assert record.peaks.page_bytes == 1_004
    assert len(to_json(record)) < 100_000


async def test_what_the_store_holds_decides_on_days_that_the_run_did_not_complete(
    mock_clock: MockClock,
) -> None:
    told = Told.begin(mock_clock)
    told.tell(PageCommitted(page_of(1)))
    stored = {
        DAYS[0]: StoredDay(rows=70, is_complete=True),
        DAYS[1]: StoredDay(rows=25, is_complete=False),
    }
    assert [(each.state, each.rows) for each in told.record(stored).days[:3]] == [
        ("stored", 70),
        ("partial", 25),
        ("missing", 0),
    ]


async def test_memory_is_measured_also_when_no_batch_ends(mock_clock: MockClock) -> None:
    told = Told.begin(mock_clock)
    told.tell(PageCommitted(page_of(1)), after=5)
    told.tell(RunFinished("interrupted", "", 10.0), after=5)
    record = told.record()
    assert record.peaks.resident_bytes == max(record.series.resident_bytes) > 1_000_000
    assert all(record.series.resident_bytes)
