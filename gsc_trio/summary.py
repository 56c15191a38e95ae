"""What a run did: counted from its events while it runs, reported as one object at its end."""

from __future__ import annotations

import datetime as dt
from collections import deque

import attrs
import trio

from gsc_trio.model import Halt
from gsc_trio.rate_limiter import WINDOW_SECONDS
from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    Event,
    JobsRetried,
    PageCommitted,
    RequestSent,
    RowsMoved,
)


@attrs.frozen
class RunSummary:
    """Totals and status of a run. What an earlier run had stored already is not counted."""

    status: str
    """``complete``, ``halted``, ``failed`` or ``interrupted``."""
    reason: str
    """Why it is not complete; if it is, what was left out, or nothing."""
    site: str
    start: dt.date
    end: dt.date
    days: int
    """Days completed."""
    pages: int
    """Pages committed."""
    rows: int
    """Rows in those pages, as Google sent them."""
    requests: int
    """Queries sent, each part of a batch counted: what the quota counts."""
    http_batches: int
    """Multipart HTTP requests among them."""
    retries: int
    """Jobs that failed and were queued again."""
    duration_seconds: float
    peak_queries_per_minute: int
    """The most queries that were sent in any 60 seconds."""
    days_fetched_again: int = 0
    """Days that were begun again, since rows moved between their pages."""


@attrs.define(eq=False)
class RunMeter:
    """An instrument that counts."""

    days: int = 0
    pages: int = 0
    rows: int = 0
    requests: int = 0
    http_batches: int = 0
    retries: int = 0
    peak_queries_per_minute: int = 0
    days_left_out: int = 0
    days_fetched_again: set[dt.date] = attrs.field(factory=set)
    started_at: float = attrs.field(factory=trio.current_time)
    _recent: deque[tuple[float, int]] = attrs.field(factory=deque)
    _recent_queries: int = 0

    def handle(self, event: Event) -> None:
        """Count an event."""
        match event:
            case PageCommitted(page):
                self.pages += 1
                self.rows += len(page.rows)
            case DayCompleted():
                self.days += 1
            case DayLeftOut():
                self.days_left_out += 1
            case RowsMoved(data_date):
                self.days_fetched_again.add(data_date)
            case RequestSent(queries, is_batch):
                self.requests += queries
                self.http_batches += is_batch
                self._note_sent(queries)
            case JobsRetried(jobs):
                self.retries += len(jobs)
            case _:
                pass

    def queries_in_last_minute(self) -> int:
        """How many queries were sent in the last 60 seconds."""
        horizon = trio.current_time() - WINDOW_SECONDS
        while self._recent and self._recent[0][0] <= horizon:
            self._recent_queries -= self._recent.popleft()[1]
        return self._recent_queries

    def _note_sent(self, queries: int) -> None:
        self._recent.append((trio.current_time(), queries))
        self._recent_queries += queries
        self.peak_queries_per_minute = max(
            self.peak_queries_per_minute, self.queries_in_last_minute()
        )

    def summary(self, site: str, start: dt.date, end: dt.date, halt: Halt | None) -> RunSummary:
        """The totals so far as a summary."""
        left_out = f"not final yet and left out, to be fetched later: {self.days_left_out} days"
        reason = left_out if self.days_left_out else ""
        return RunSummary(
            status="complete" if halt is None else halt.status,
            reason=reason if halt is None else halt.reason,
            site=site,
            start=start,
            end=end,
            days=self.days,
            pages=self.pages,
            rows=self.rows,
            requests=self.requests,
            http_batches=self.http_batches,
            retries=self.retries,
            duration_seconds=round(trio.current_time() - self.started_at, 3),
            peak_queries_per_minute=self.peak_queries_per_minute,
            days_fetched_again=len(self.days_fetched_again),
        )
