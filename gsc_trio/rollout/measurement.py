"""A stage's run and what was measured in it: an instrument that watches, and the figures."""

from __future__ import annotations

import time
from collections.abc import Mapping

import attrs
import trio

from gsc_trio.model import Job
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    Event,
    PageAnswered,
    PageCommitted,
    QuotaExceeded,
    RequestSent,
)
from gsc_trio.telemetry.memory import resident_bytes


@attrs.frozen
class Measurement:
    """What a stage's run took and gave."""

    concurrency: int
    batch_size: int
    status: str
    """As in `gsc_trio.summary.RunSummary`."""
    reason: str
    days: int
    """Days completed."""
    days_planned: int
    pages: int
    rows: int
    seconds: float
    """From the plan until the database was closed, all commits included."""
    cpu_seconds: float
    """Of this process, in that time."""
    queries: int
    queries_refused: int
    """Queries that Google refused as too many."""
    retries: int
    peak_queries_per_minute: int
    """The most that this rollout had sent in any 60 seconds, up to the end of this stage."""
    peak_queue_depth: int
    peak_in_flight: int
    longest_batch_seconds: float
    peak_resident_bytes: int
    """Of this process, looked at when a page arrives and when it is committed."""
    page_seconds: Mapping[Job, float] = attrs.field(factory=dict, repr=False)
    """How long each page was in coming after the one before it: its latency, when no other worker
    is asking."""

    @property
    def seconds_per_page(self) -> float:
        """The pace of the whole run."""
        return self.seconds / self.pages if self.pages else 0.0


@attrs.define(eq=False)
class StageMeter:
    """An instrument that notes what a `Measurement` has and a summary has not.

    Made when the run begins.
    """

    queries_refused: int = 0
    peak_queue_depth: int = 0
    peak_in_flight: int = 0
    longest_batch_seconds: float = 0.0
    peak_resident_bytes: int = 0
    page_seconds: dict[Job, float] = attrs.field(factory=dict)
    _began: float = attrs.field(factory=trio.current_time)
    _cpu_began: float = attrs.field(factory=time.process_time)
    _last_answer: float = attrs.field(factory=trio.current_time)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case BatchTaken(queue_depth=queue_depth, in_flight=in_flight):
                self.peak_queue_depth = max(self.peak_queue_depth, queue_depth)
                self.peak_in_flight = max(self.peak_in_flight, in_flight)
            case BatchFinished(duration_seconds=seconds):
                self.longest_batch_seconds = max(self.longest_batch_seconds, seconds)
            case RequestSent():
                self._last_answer = trio.current_time()
            case PageAnswered(page):
                now = trio.current_time()
                self.page_seconds[page.job] = now - self._last_answer
                self._last_answer = now
                self._look_at_memory()
            case PageCommitted():
                self._look_at_memory()
            case QuotaExceeded(queries=queries):
                self.queries_refused += queries
            case _:
                pass

    def _look_at_memory(self) -> None:
        self.peak_resident_bytes = max(self.peak_resident_bytes, resident_bytes())

    def measurement(
        self,
        summary: RunSummary,
        *,
        concurrency: int,
        batch_size: int,
        peak_queries_per_minute: int,
    ) -> Measurement:
        """The figures, now that the run is over and its database closed."""
        return Measurement(
            concurrency=concurrency,
            batch_size=batch_size,
            status=summary.status,
            reason=summary.reason,
            days=summary.days,
            days_planned=(summary.end - summary.start).days + 1,
            pages=summary.pages,
            rows=summary.rows,
            seconds=trio.current_time() - self._began,
            cpu_seconds=time.process_time() - self._cpu_began,
            queries=summary.requests,
            queries_refused=self.queries_refused,
            retries=summary.retries,
            peak_queries_per_minute=peak_queries_per_minute,
            peak_queue_depth=self.peak_queue_depth,
            peak_in_flight=self.peak_in_flight,
            longest_batch_seconds=self.longest_batch_seconds,
            peak_resident_bytes=self.peak_resident_bytes,
            page_seconds=self.page_seconds,
        )
