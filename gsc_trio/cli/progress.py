"""How a run is doing, counted from its events; how it looks is `gsc_trio.cli.display`'s concern.

`Progress` only counts, on the event loop; a task takes a snapshot a few times a second and shows
it from a thread, since a terminal that is stopped (Ctrl-S) blocks whoever writes to it.
"""

from __future__ import annotations

import attrs
import trio
from trio_util import periodic

from gsc_trio.cli.display import Display, ProgressSnapshot
from gsc_trio.errors import LoadQuotaExceededError, RateLimitExceededError
from gsc_trio.summary import RunMeter
from gsc_trio.telemetry.events import (
    DayLeftOut,
    Event,
    JobsRetried,
    PageAnswered,
    QuotaApproaching,
    QuotaPaused,
    RunStarted,
    WorkerCrashed,
)

_TOLD_AS_PAUSES = (RateLimitExceededError, LoadQuotaExceededError)


@attrs.define(eq=False)
class Progress:
    """An instrument that keeps what there is to show. Made on the event loop."""

    meter: RunMeter = attrs.field(factory=RunMeter)
    _site: str = ""
    _days_planned: int = 0
    _pages_known: int = 0
    _pages_answered: int = 0
    _paused_until: float = 0.0
    _pause_reason: str = ""
    _jobs_failed: int = 0
    _last_failure: str = ""
    _notes: list[str] = attrs.field(factory=list)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        self.meter.handle(event)
        match event:
            case RunStarted(site_url, _, _, days_planned):
                self._site = site_url
                self._days_planned = self._pages_known = days_planned
            case PageAnswered(page):
                self._pages_answered += 1
                self._pages_known += page.is_full
            case DayLeftOut():
                self._pages_known -= 1
                self._pages_answered -= 1
            case JobsRetried(jobs, error) if not isinstance(error, _TOLD_AS_PAUSES):
                self._jobs_failed += len(jobs)
                self._last_failure = str(error)
            case QuotaPaused(key, seconds, error):
                self._paused_until = trio.current_time() + seconds
                is_load = isinstance(error, LoadQuotaExceededError)
                self._pause_reason = "load quota" if is_load else "too fast"
                self._notes.append(f"{key} pauses for {seconds:.3g} s: {error}")
            case QuotaApproaching(key, used, limit):
                self._notes.append(
                    f"{key}: {used / limit:.0%} of the quota is used ({used:,} of {limit:,})"
                )
            case WorkerCrashed(worker, error, crashes):
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
        seconds_left = None
        if self._pages_answered:
            # Answered, not committed: pages wait for their turn and are then written all at once.
            pages_left = max(0, self._pages_known - self._pages_answered)
            seconds_left = elapsed * pages_left / self._pages_answered + paused_seconds
        return ProgressSnapshot(
            site=self._site,
            days=self.meter.days,
            days_planned=self._days_planned,
            pages=self.meter.pages,
            pages_waiting=max(0, self._pages_answered - self.meter.pages),
            rows=self.meter.rows,
            queries_per_minute=self.meter.queries_in_last_minute(),
            retries=self.meter.retries,
            elapsed_seconds=elapsed,
            seconds_left=seconds_left,
            paused_seconds=paused_seconds,
            pause_reason=self._pause_reason,
        )

    def take_notes(self) -> list[str]:
        """What happened since the last time and is worth a line; failures are summed up."""
        notes, self._notes = self._notes, []
        if self._jobs_failed:
            queries = "1 query" if self._jobs_failed == 1 else f"{self._jobs_failed:,} queries"
            notes.append(f"{queries} failed, to be asked again: {self._last_failure}")
            self._jobs_failed = 0
        return notes


async def keep_showing(progress: Progress, display: Display) -> None:
    """Show how the run is doing, again and again until cancelled."""
    async for _ in periodic(display.interval_seconds):
        await show(progress, display)


async def show(progress: Progress, display: Display, *, is_last: bool = False) -> None:
    """Show how the run is doing now."""
    snapshot = progress.snapshot()
    if snapshot is not None:
        await trio.to_thread.run_sync(display.show, snapshot, progress.take_notes(), is_last)
