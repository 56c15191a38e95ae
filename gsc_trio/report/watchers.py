"""Those who watch a run for its record, each one side of it; `RunRecorder` brings them together.

They share a clock and a timeline, and what they keep beside that does not grow with the run.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque

import attrs
import trio

from gsc_trio.rate_limiter import WINDOW_SECONDS
from gsc_trio.report.quantiles import Durations
from gsc_trio.report.record import Note, QuotaUse
from gsc_trio.report.timeline import Gauge, Slot, Timeline
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
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
    RowsMoved,
    RunFinished,
    RunStarted,
    TransactionCommitted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.facts import quota_of, reason_of
from gsc_trio.telemetry.memory import resident_bytes

NOTES_KEPT = 50
"""How many of the first notes, and how many of the last."""

ERROR_CHARACTERS = 300
"""How much of an error's text is kept."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@attrs.define(eq=False)
class RunClock:
    """Seconds since the run began, and what the clock on the wall said."""

    _began: float = attrs.field(factory=trio.current_time)
    _ended: float | None = None
    started_at: dt.datetime = attrs.field(factory=_now)
    ended_at: dt.datetime = attrs.field(factory=_now)

    def start(self, *, goes_on: bool) -> None:
        """It is 0 now; or it goes on with the next of several runs that are recorded together."""
        self._ended = None
        if not goes_on:
            self._began, self.started_at = trio.current_time(), _now()

    def stop(self) -> None:
        """It goes on no more."""
        if self._ended is None:
            self._ended = trio.current_time()
            self.ended_at = _now()

    def seconds(self) -> float:
        """How long it has been going on, or went on."""
        return (trio.current_time() if self._ended is None else self._ended) - self._began


@attrs.define(eq=False)
class QuotaWatcher:
    """Queries, what they use of the quota, how long they take, and pauses."""

    _clock: RunClock
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
        """Take note of an event."""
        match event:
            case RequestSent(queries):
                self._note_sent(self._clock.seconds(), queries)
            case RequestFinished(queries=queries, duration_seconds=seconds):
                self.requests.add(seconds)
                self.queries.add(seconds / queries, queries)
                self._timeline.at(self._clock.seconds()).latencies.add(seconds / queries, queries)
            case QuotaUsed(key, used, limit):
                kind = quota_of(key)
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
class PipelineWatcher:
    """Queue, jobs in flight, workers and commits."""

    _clock: RunClock
    _timeline: Timeline
    largest_concurrency: int = 0
    commits: Durations = attrs.field(factory=Durations)
    most: Counter[str] = attrs.field(factory=Counter)
    _in_flight: int = 0
    _workers: set[str] = attrs.field(factory=set)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case BatchTaken() | JobsReturned():
                self._set("queue_depth", event.queue_depth)
                self._note_in_flight(event.in_flight)
            case TransactionCommitted(duration_seconds=seconds):
                self.commits.add(seconds)
            case PageCommitted(page):
                self._note_in_flight(self._in_flight - 1)
                self._timeline.at(self._clock.seconds()).rows += len(page.rows)
            case DayLeftOut():
                self._note_in_flight(self._in_flight - 1)
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

    def _note_in_flight(self, jobs: int) -> None:
        self._in_flight = jobs
        self._set("in_flight", jobs)

    def _set(self, name: str, level: int) -> None:
        self.most[name] = max(self.most[name], level)
        gauge: Gauge = getattr(self._timeline.at(self._clock.seconds()), name)
        gauge.set(level)


@attrs.define(eq=False)
class MemoryWatcher:
    """What the process takes, and what waits in it."""

    _clock: RunClock
    _timeline: Timeline
    most: Counter[str] = attrs.field(factory=Counter)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case MemoryMeasured():
                self._note_resident(event.resident_bytes)
                self._note("waiting_bytes", event.waiting_bytes)
                self._slot().waiting_bytes.set(event.waiting_bytes)
            case PageAnswered(page):
                self._note("page_bytes", page.content_bytes)
            case PageCommitted() if self._slot().resident_bytes.last is None:
                # A batch of large pages takes long, and memory is told at its end only.
                self._note_resident(resident_bytes())
            case RunStarted() | RunFinished():
                self._note_resident(resident_bytes())
            case _:
                pass

    def _note_resident(self, count: int) -> None:
        self._note("resident_bytes", count)
        self._slot().resident_bytes.set(count)

    def _note(self, name: str, count: int) -> None:
        self.most[name] = max(self.most[name], count)

    def _slot(self) -> Slot:
        return self._timeline.at(self._clock.seconds())


@attrs.define(eq=False)
class ErrorWatcher:
    """Retries, crashes, halts, and what else is worth a note."""

    _clock: RunClock
    _timeline: Timeline
    crashes: int = 0
    halt_seconds: float | None = None
    retries: Counter[str] = attrs.field(factory=Counter)
    last_errors: dict[str, str] = attrs.field(factory=dict)
    first_notes: list[Note] = attrs.field(factory=list)
    last_notes: deque[Note] = attrs.field(factory=lambda: deque(maxlen=NOTES_KEPT))
    notes: int = 0

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case JobsRetried(jobs, error):
                reason = reason_of(error)
                self.retries[reason] += len(jobs)
                self.last_errors[reason] = _text(error)
                self._timeline.at(self._clock.seconds()).retries += len(jobs)
            case QuotaPaused(key, seconds, error):
                self._note(f"{quota_of(key)} pauses for {seconds:.3g} s: {_text(error)}")
            case QuotaApproaching(key, used, limit):
                kind = quota_of(key)
                self._note(f"{used:,} of {limit:,} queries a minute are used ({kind})")
            case ConcurrencyChanged(previous, current, reason):
                self._note(f"from {previous} to {current} workers: {reason}")
            case RowsMoved(data_date):
                self._note(f"{data_date} is fetched again: rows moved between its pages")
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
