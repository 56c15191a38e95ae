"""The instrument that records a run, in memory that does not grow with it.

It keeps a timeline of at most 240 slots, durations by their buckets, the state of each day of the
range, and the first and the last of what was worth a note. An event costs it some microseconds.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque
from collections.abc import Mapping

import attrs
import trio

from gsc_trio.config import Settings
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.rate_limiter import WINDOW_SECONDS
from gsc_trio.report.days import DaysSeen
from gsc_trio.report.quantiles import Durations
from gsc_trio.report.record import (
    Latencies,
    Limits,
    Note,
    Peaks,
    QuotaUse,
    Retries,
    RunRecord,
)
from gsc_trio.report.series import make_series
from gsc_trio.report.timeline import Gauge, Timeline
from gsc_trio.store.base import StoredDay
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
    DayCompleted,
    DayLeftOut,
    Event,
    HaltFinished,
    HaltRequested,
    JobsRetried,
    JobsReturned,
    MemoryMeasured,
    PageAnswered,
    PageCommitted,
    QuotaApproaching,
    QuotaExceeded,
    QuotaPaused,
    QuotaUsed,
    RequestFinished,
    RequestSent,
    RunFinished,
    RunStarted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.facts import reason_of

NOTES_KEPT = 50
"""How many of the first notes, and how many of the last."""

ERROR_CHARACTERS = 300
"""How much of an error's text is kept."""


class RunRecorder:
    """Records one run. It begins when the run does."""

    def __init__(self) -> None:
        self._clock = _RunClock()
        self._timeline = Timeline()
        self._days = DaysSeen()
        self._quota = _QuotaRecorder(self._clock, self._timeline)
        self._pipeline = _PipelineRecorder(self._clock, self._timeline)
        self._errors = _ErrorRecorder(self._clock, self._timeline)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, RunStarted):
            self._clock.start()
            self._days.note_stored(event.days_stored)
        self._quota.handle(event)
        self._pipeline.handle(event)
        self._errors.handle(event)
        match event:
            case PageCommitted(page):
                self._days.note_page(page)
            case DayCompleted(day):
                self._days.note_complete(day)
            case DayLeftOut(data_date):
                self._days.note_left_out(data_date)
            case RunFinished():
                self._clock.stop()
            case _:
                pass

    def record(
        self,
        summary: RunSummary,
        query: SearchAnalyticsQuery,
        settings: Settings,
        stored: Mapping[dt.date, StoredDay] | None = None,
    ) -> RunRecord:
        """What is to be kept, once the run is over.

        Args:
            summary: its summary.
            query: what was asked for.
            settings: those that it ran with.
            stored: what the store holds of the range now; it knows of days that an earlier run
                left in part, and how many rows older days have.
        """
        clock, quota, pipeline, errors = self._clock, self._quota, self._pipeline, self._errors
        clock.stop()
        now = clock.seconds()
        self._timeline.at(now)
        quota.finish(now)
        workers = max(settings.initial_concurrency, pipeline.largest_concurrency)
        in_flight_limit = settings.in_flight_limit_at(workers)
        return RunRecord(
            summary=summary,
            search_type=query.search_type,
            dimensions=query.dimensions,
            data_state=query.data_state,
            started_at=clock.started_at,
            ended_at=clock.ended_at,
            limits=Limits(
                max_concurrency=workers,
                batch_size=settings.batch_size,
                max_queue_size=settings.max_queue_size,
                # The plain loop knows no other limit than a batch.
                max_in_flight=max(in_flight_limit, settings.batch_size if workers == 1 else 0),
                max_waiting_bytes=settings.max_waiting_bytes,
                queries_per_minute=settings.queries_per_minute,
                grace_seconds=settings.grace_seconds,
            ),
            peaks=pipeline.peaks(),
            quota=dict(quota.use),
            refused=quota.refused,
            pauses=quota.pauses,
            paused_seconds=round(quota.paused_seconds, 3),
            crashes=errors.crashes,
            halt_seconds=errors.halt_seconds,
            latencies=Latencies(
                requests=quota.requests.quantiles(),
                queries=quota.queries.quantiles(),
                commits=pipeline.commits.quantiles(),
            ),
            series=make_series(self._timeline),
            retries=[
                Retries(reason, jobs, errors.last_errors[reason])
                for reason, jobs in errors.retries.most_common()
            ],
            notes=sorted([*errors.first_notes, *errors.last_notes], key=lambda note: note.seconds),
            notes_left_out=errors.notes - len(errors.first_notes) - len(errors.last_notes),
            days=self._days.records(summary.start, summary.end, stored or {}),
        )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@attrs.define(eq=False)
class _RunClock:
    """Seconds since the run began, and what the clock on the wall said."""

    _began: float = attrs.field(factory=trio.current_time)
    _ended: float | None = None
    started_at: dt.datetime = attrs.field(factory=_now)
    ended_at: dt.datetime = attrs.field(factory=_now)

    def start(self) -> None:
        self._began, self._ended = trio.current_time(), None
        self.started_at = _now()

    def stop(self) -> None:
        if self._ended is None:
            self._ended = trio.current_time()
            self.ended_at = _now()

    def seconds(self) -> float:
        return (trio.current_time() if self._ended is None else self._ended) - self._began


@attrs.define(eq=False)
class _QuotaRecorder:
    """Queries, what they use of the quota, how long they take, and pauses."""

    _clock: _RunClock
    _timeline: Timeline
    use: dict[str, QuotaUse] = attrs.field(factory=dict)
    refused: int = 0
    pauses: int = 0
    paused_seconds: float = 0.0
    requests: Durations = attrs.field(factory=Durations)
    queries: Durations = attrs.field(factory=Durations)
    _recent: deque[tuple[float, int]] = attrs.field(factory=deque)
    _in_last_minute: int = 0
    _paused_from: float = 0.0
    _paused_until: float = 0.0

    def handle(self, event: Event) -> None:
        match event:
            case RequestSent(queries):
                self._note_sent(self._clock.seconds(), queries)
            case RequestFinished(queries=queries, duration_seconds=seconds):
                self.requests.add(seconds)
                self.queries.add(seconds / queries, queries)
                self._timeline.at(self._clock.seconds()).latencies.add(seconds / queries, queries)
            case QuotaUsed(key, used, limit):
                kind = key.partition(" ")[0]
                if kind not in self.use or used > self.use[kind].used:
                    self.use[kind] = QuotaUse(used, limit)
            case QuotaExceeded(_, queries):
                self.refused += queries
                self._timeline.at(self._clock.seconds()).refused += queries
            case QuotaPaused(_, seconds):
                now = self._clock.seconds()
                self._note_pauses(now)
                self.pauses += 1
                self._paused_from = now
                self._paused_until = max(self._paused_until, now + seconds)
            case _:
                pass

    def finish(self, now: float) -> None:
        """Bring what goes on by itself up to now."""
        self._forget_older(now)
        self._note_pauses(now)

    def _note_sent(self, now: float, queries: int) -> None:
        self._forget_older(now)
        self._recent.append((now, queries))
        self._in_last_minute += queries
        slot = self._timeline.at(now)
        slot.queries += queries
        slot.queries_per_minute.set(self._in_last_minute)

    def _forget_older(self, now: float) -> None:
        while self._recent and self._recent[0][0] + WINDOW_SECONDS <= now:
            sent, queries = self._recent.popleft()
            self._in_last_minute -= queries
            self._timeline.at(sent + WINDOW_SECONDS).queries_per_minute.set(self._in_last_minute)

    def _note_pauses(self, now: float) -> None:
        """Enter the pause so far; what is left of it goes on from now."""
        end = min(now, self._paused_until)
        if end > self._paused_from:
            self._timeline.add_pause(self._paused_from, end)
            self.paused_seconds += end - self._paused_from
            self._paused_from = end


@attrs.define(eq=False)
class _PipelineRecorder:
    """Queue, jobs in flight, workers, commits and memory."""

    _clock: _RunClock
    _timeline: Timeline
    largest_concurrency: int = 0
    commits: Durations = attrs.field(factory=Durations)
    _in_flight: int = 0
    _workers: set[str] = attrs.field(factory=set)
    _most: Counter[str] = attrs.field(factory=Counter)

    def handle(self, event: Event) -> None:
        match event:
            case BatchTaken() | JobsReturned():
                self._set("queue_depth", event.queue_depth)
                self._note_in_flight(event.in_flight)
            case PageCommitted(page, seconds):
                self._note_in_flight(self._in_flight - 1)
                self._timeline.at(self._clock.seconds()).rows += len(page.rows)
                self.commits.add(seconds)
            case DayLeftOut():
                self._note_in_flight(self._in_flight - 1)
            case PageAnswered(page):
                self._most["page_bytes"] = max(self._most["page_bytes"], page.content_bytes)
            case MemoryMeasured(resident_bytes, waiting_bytes):
                self._set("resident_bytes", resident_bytes)
                self._set("waiting_bytes", waiting_bytes)
            case WorkerStarted(worker):
                self._workers.add(worker)
                self._set("workers", len(self._workers))
            case WorkerEnded(worker):
                self._workers.discard(worker)
                self._set("workers", len(self._workers))
            case ConcurrencyChanged(_, current):
                self.largest_concurrency = max(self.largest_concurrency, current)
            case _:
                pass

    def peaks(self) -> Peaks:
        """The highest of everything."""
        names = Peaks.__struct_fields__
        return Peaks(**{name: self._most[name] for name in names})

    def _note_in_flight(self, jobs: int) -> None:
        self._in_flight = jobs
        self._set("in_flight", jobs)

    def _set(self, name: str, level: int) -> None:
        self._most[name] = max(self._most[name], level)
        gauge: Gauge = getattr(self._timeline.at(self._clock.seconds()), name)
        gauge.set(level)


@attrs.define(eq=False)
class _ErrorRecorder:
    """Retries, crashes, halts, and what else is worth a note."""

    _clock: _RunClock
    _timeline: Timeline
    crashes: int = 0
    halt_seconds: float | None = None
    retries: Counter[str] = attrs.field(factory=Counter)
    last_errors: dict[str, str] = attrs.field(factory=dict)
    first_notes: list[Note] = attrs.field(factory=list)
    last_notes: deque[Note] = attrs.field(factory=lambda: deque(maxlen=NOTES_KEPT))
    notes: int = 0

    def handle(self, event: Event) -> None:
        match event:
            case JobsRetried(jobs, error):
                reason = reason_of(error)
                self.retries[reason] += len(jobs)
                self.last_errors[reason] = _text(error)
                self._timeline.at(self._clock.seconds()).retries += len(jobs)
            case QuotaPaused(key, seconds, error):
                self._note(f"{key.partition(' ')[0]} pauses for {seconds:.3g} s: {_text(error)}")
            case QuotaApproaching(key, used, limit):
                kind = key.partition(" ")[0]
                self._note(f"{used:,} of {limit:,} queries a minute are used ({kind})")
            case ConcurrencyChanged(previous, current, reason):
                self._note(f"from {previous} to {current} workers: {reason}")
            case WorkerCrashed(worker, error):
                self.crashes += 1
                self._note(f"{worker} crashed: {_text(error)}")
            case HaltRequested(halt):
                self._note(f"a halt is asked for: {halt.reason}")
            case HaltFinished(_, seconds):
                self.halt_seconds = round(seconds, 3)
                self._note(f"the halt is over, after {seconds:.3g} s")
            case _:
                pass

    def _note(self, text: str) -> None:
        note = Note(round(self._clock.seconds(), 3), text[: 2 * ERROR_CHARACTERS])
        self.notes += 1
        if len(self.first_notes) < NOTES_KEPT:
            self.first_notes.append(note)
        else:
            self.last_notes.append(note)


def _text(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= ERROR_CHARACTERS else f"{text[: ERROR_CHARACTERS - 1]}…"
