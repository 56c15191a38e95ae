"""How a run is doing, counted from its events; how it looks is `gsc_trio.cli.display`'s concern.

`Progress` only counts, on the event loop; a task takes a snapshot a few times a second and shows
it from a thread, since a terminal that is stopped (Ctrl-S) blocks whoever writes to it.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import attrs
import trio
from trio_util import periodic

from gsc_trio.cli.day_states import DayStates
from gsc_trio.cli.display import Display, Snapshot
from gsc_trio.cli.gauges import QuotaGauge, RowRate
from gsc_trio.cli.snapshot import FETCHING, ProgressSnapshot
from gsc_trio.errors import (
    AccessTokenExpiredError,
    ApiError,
    LoadQuotaExceededError,
    MalformedResponseError,
    RateLimitExceededError,
    TransportError,
)
from gsc_trio.summary import RunMeter
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
    DayLeftOut,
    Event,
    HaltRequested,
    JobsRetried,
    JobsReturned,
    PageAnswered,
    PageCommitted,
    QuotaApproaching,
    QuotaPaused,
    RowsMoved,
    RunFinished,
    RunStarted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)

_TOLD_AS_PAUSES = (RateLimitExceededError, LoadQuotaExceededError)

_REASONS: dict[type[ApiError], str] = {
    RateLimitExceededError: "too fast",
    LoadQuotaExceededError: "load quota",
    AccessTokenExpiredError: "token expired",
    TransportError: "connection",
    MalformedResponseError: "bad answer",
}


@attrs.define(eq=False)
class Progress:
    """An instrument that keeps what there is to show. Made on the event loop."""

    meter: RunMeter = attrs.field(factory=RunMeter)
    _days: DayStates = attrs.field(factory=DayStates)
    _row_rate: RowRate = attrs.field(factory=RowRate)
    _quota: QuotaGauge = attrs.field(factory=QuotaGauge)
    _site: str = ""
    _days_planned: int = 0
    _pages_known: int = 0
    _pages_answered: int = 0
    _queue_depth: int = 0
    _in_flight: int = 0
    _workers: set[str] = attrs.field(factory=set)
    _crashes: int = 0
    _retry_reasons: Counter[str] = attrs.field(factory=Counter)
    _paused_until: float = 0.0
    _pause_reason: str = ""
    _status: str = FETCHING
    _halt_reason: str = ""
    _jobs_failed: int = 0
    _last_failure: str = ""
    _notes: list[str] = attrs.field(factory=list)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        self.meter.handle(event)
        self._days.handle(event)
        self._row_rate.handle(event)
        self._quota.handle(event)
        self._count(event)
        self._follow(event)
        self._note(event)

    def _count(self, event: Event) -> None:
        match event:
            case RunStarted(site_url, days_planned=days_planned):
                self._site = site_url
                self._days_planned = self._pages_known = self._queue_depth = days_planned
            case BatchTaken() | JobsReturned():
                self._queue_depth, self._in_flight = event.queue_depth, event.in_flight
            case PageAnswered(page):
                self._pages_answered += 1
                self._pages_known += page.is_full
            case PageCommitted(page):
                self._in_flight -= 1
                self._queue_depth += page.is_full
            case DayLeftOut():
                self._pages_known -= 1
                self._pages_answered -= 1
                self._in_flight -= 1
            case RowsMoved():
                self._pages_known += 1
                self._queue_depth += 1
            case JobsRetried(jobs, error):
                self._retry_reasons[reason_of(error)] += len(jobs)
            case _:
                pass

    def _follow(self, event: Event) -> None:
        match event:
            case WorkerStarted(worker):
                self._workers.add(worker)
            case WorkerEnded(worker):
                self._workers.discard(worker)
            case HaltRequested(halt):
                self._status, self._halt_reason = "stopping", halt.reason
            case RunFinished(status, reason):
                self._status, self._halt_reason = status, reason
            case _:
                pass

    def _note(self, event: Event) -> None:
        match event:
            case JobsRetried(jobs, error) if not isinstance(error, _TOLD_AS_PAUSES):
                self._jobs_failed += len(jobs)
                self._last_failure = str(error)
            case QuotaPaused(key, seconds, error):
                self._paused_until = trio.current_time() + seconds
                self._pause_reason = reason_of(error)
                self._notes.append(f"{key} pauses for {seconds:.3g} s: {error}")
            case QuotaApproaching(key, used, limit):
                self._notes.append(
                    f"{key}: {used / limit:.0%} of the quota is used ({used:,} of {limit:,})"
                )
            case ConcurrencyChanged(previous, current, reason):
                self._notes.append(f"{previous} → {current} workers: {reason}")
            case WorkerCrashed(worker, error, crashes):
                self._crashes = crashes
                self._notes.append(f"{worker} crashed ({crashes} so far), and goes on: {error!r}")
            case _:
                pass

    def snapshot(self) -> ProgressSnapshot | None:
        """What to show now, or None before the plan is made."""
        if not self._site:
            return None
        now = trio.current_time()
        elapsed = now - self.meter.started_at
        paused_seconds = max(0.0, self._paused_until - now)
        quota_used, quota_limit = self._quota.read()
        return ProgressSnapshot(
            site=self._site,
            start=self._days.start,
            day_states=self._days.snapshot(),
            days=self.meter.days,
            days_planned=self._days_planned,
            pages=self.meter.pages,
            pages_waiting=max(0, self._pages_answered - self.meter.pages),
            rows=self.meter.rows,
            rows_per_second=self._row_rate.read(elapsed),
            queries_per_minute=self.meter.queries_in_last_minute(),
            quota_used=quota_used,
            quota_limit=quota_limit,
            queue_depth=max(0, self._queue_depth),
            in_flight=max(0, self._in_flight),
            workers=len(self._workers),
            crashes=self._crashes,
            retries=self.meter.retries,
            retry_reasons=tuple(self._retry_reasons.most_common()),
            elapsed_seconds=elapsed,
            seconds_left=self._seconds_left(elapsed, paused_seconds),
            paused_seconds=paused_seconds,
            pause_reason=self._pause_reason,
            status=self._status,
            halt_reason=self._halt_reason,
        )

    def _seconds_left(self, elapsed: float, paused_seconds: float) -> float | None:
        if not self._pages_answered or self._status != FETCHING:
            return None
        # Answered, not committed: pages wait for their turn and are then written all at once.
        pages_left = max(0, self._pages_known - self._pages_answered)
        return elapsed * pages_left / self._pages_answered + paused_seconds

    def take_notes(self) -> list[str]:
        """What happened since the last time and is worth a line; failures are summed up."""
        notes, self._notes = self._notes, []
        if self._jobs_failed:
            queries = "1 query" if self._jobs_failed == 1 else f"{self._jobs_failed:,} queries"
            notes.append(f"{queries} failed, to be asked again: {self._last_failure}")
            self._jobs_failed = 0
        return notes


def reason_of(error: BaseException) -> str:
    """Why something failed, in a word or two."""
    if isinstance(error, ApiError):
        facts = _REASONS.get(type(error)) or error.reason or error.status
        if facts:
            return str(facts)
    return type(error).__name__


class Watched(Protocol):
    """What progress is shown of."""

    def snapshot(self) -> Snapshot | None:
        """What to show now, if there is anything."""

    def take_notes(self) -> list[str]:
        """What else happened since the last time."""


async def keep_showing(progress: Watched, display: Display) -> None:
    """Show how the run is doing, again and again until cancelled."""
    async for _ in periodic(display.interval_seconds):
        await show(progress, display)


async def show(progress: Watched, display: Display, *, is_last: bool = False) -> None:
    """Show how the run is doing now."""
    snapshot = progress.snapshot()
    if snapshot is not None:
        await trio.to_thread.run_sync(display.show, snapshot, progress.take_notes(), is_last)
