"""How many properties side by side are doing, counted from the events of all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import attrs
import trio

from gsc_trio.cli.gauges import RowRate
from gsc_trio.cli.group_snapshot import GroupSnapshot
from gsc_trio.cli.output import one_line
from gsc_trio.cli.progress import reason_of
from gsc_trio.cli.snapshot import FETCHING
from gsc_trio.summary import RunMeter
from gsc_trio.telemetry.events import (
    ConcurrencyChanged,
    Event,
    JobsRetried,
    PropertyFinished,
    PropertyStarted,
    QuotaPaused,
    QuotaUsed,
    RunFinished,
    RunStarted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)


@attrs.define(eq=False)
class GroupProgress:
    """An instrument that keeps what there is to show of many properties. Made on the event loop.

    Args:
        quotas: how much of the quotas is used now.
    """

    quotas: Callable[[], Sequence[QuotaUsed]]
    meter: RunMeter = attrs.field(factory=RunMeter)
    _row_rate: RowRate = attrs.field(factory=RowRate)
    _running: Counter[str] = attrs.field(factory=Counter)
    """How many runs each property has: one for each search type and set of dimensions."""
    _properties: int = 0
    _has_begun: bool = False
    _done: int = 0
    _failed: int = 0
    _days_planned: int = 0
    _workers: set[str] = attrs.field(factory=set)
    _retry_reasons: Counter[str] = attrs.field(factory=Counter)
    _paused_until: float = 0.0
    _status: str = FETCHING
    _reason: str = ""
    _notes: list[str] = attrs.field(factory=list)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        self.meter.handle(event)
        self._row_rate.handle(event)
        self._follow(event)
        self._note(event)

    def _follow(self, event: Event) -> None:
        match event:
            case RunStarted(properties=properties, days_planned=days_planned):
                self._has_begun, self._properties = True, properties
                self._days_planned = days_planned
            case PropertyStarted(site_url):
                self._running[site_url] += 1
            case PropertyFinished(site_url, status):
                self._running[site_url] -= 1
                self._done += 1
                self._failed += status not in ("complete", "paused")
            case WorkerStarted(worker):
                self._workers.add(worker)
            case WorkerEnded(worker):
                self._workers.discard(worker)
            case JobsRetried(jobs, error):
                self._retry_reasons[reason_of(error)] += len(jobs)
            case RunFinished(status, reason):
                self._status, self._reason = status, reason
            case _:
                pass

    def _note(self, event: Event) -> None:
        match event:
            case PropertyFinished(site_url, "failed" | "halted" as status, reason):
                self._notes.append(f"{status}: {one_line(site_url)}: {one_line(reason)}")
            case QuotaPaused(key, seconds, error):
                self._paused_until = trio.current_time() + seconds
                self._notes.append(f"{key} pauses for {seconds:.3g} s: {error}")
            case ConcurrencyChanged(previous, current, reason):
                self._notes.append(f"{previous} → {current} workers: {reason}")
            case WorkerCrashed(worker, error):
                self._notes.append(f"{worker} crashed, and goes on: {error!r}")
            case _:
                pass

    def snapshot(self) -> GroupSnapshot | None:
        """What to show now, or None before it is known what is missing."""
        if not self._has_begun:
            return None
        now = trio.current_time()
        elapsed = now - self.meter.started_at
        days_left = self._days_planned - self.meter.days
        is_going = self.meter.days and self._status == FETCHING
        return GroupSnapshot(
            properties=self._properties,
            running=tuple(+self._running),
            done=self._done,
            failed=self._failed,
            days=self.meter.days,
            days_planned=self._days_planned,
            pages=self.meter.pages,
            rows=self.meter.rows,
            rows_per_second=self._row_rate.read(elapsed),
            queries_per_minute=self.meter.queries_in_last_minute(),
            quotas=tuple(self.quotas()),
            workers=len(self._workers),
            retries=self.meter.retries,
            retry_reasons=tuple(self._retry_reasons.most_common()),
            elapsed_seconds=elapsed,
            seconds_left=elapsed * max(0, days_left) / self.meter.days if is_going else None,
            paused_seconds=max(0.0, self._paused_until - now),
            status=self._status,
            reason=self._reason,
        )

    def take_notes(self) -> list[str]:
        """What happened since the last time and is worth a line."""
        notes, self._notes = self._notes, []
        return notes
