"""The instrument that records a run, in memory that does not grow with it.

It keeps a timeline of at most 240 slots, durations by their buckets, the state of each day of the
range, and the first and the last of what was worth a note. An event costs it some microseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from gsc_trio.config import Settings
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.report.days import DaysSeen
from gsc_trio.report.record import (
    Latencies,
    Limits,
    Peaks,
    Retries,
    RunRecord,
)
from gsc_trio.report.series import make_series
from gsc_trio.report.timeline import Timeline
from gsc_trio.report.watchers import (
    ErrorWatcher,
    MemoryWatcher,
    PipelineWatcher,
    QuotaWatcher,
    RunClock,
)
from gsc_trio.store.base import StoredDay
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    Event,
    PageCommitted,
    RunFinished,
    RunStarted,
)


class RunRecorder:
    """Records a run, or several one after another as one. It begins when the first one does."""

    def __init__(self) -> None:
        self.range: tuple[dt.date, dt.date] | None = None
        """The first day and the last that were asked for; None before it begins."""
        self._clock = RunClock()
        self._timeline = Timeline()
        self._days = DaysSeen()
        self._quota = QuotaWatcher(self._clock, self._timeline)
        self._pipeline = PipelineWatcher(self._clock, self._timeline)
        self._memory = MemoryWatcher(self._clock, self._timeline)
        self._errors = ErrorWatcher(self._clock, self._timeline)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, RunStarted):
            self._clock.start(goes_on=self.range is not None)
            start, end = self.range or (event.start, event.end)
            self.range = min(start, event.start), max(end, event.end)
            self._days.note_stored(event.days_stored)
        self._quota.handle(event)
        self._pipeline.handle(event)
        self._memory.handle(event)
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
        most = pipeline.most + self._memory.most
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
            peaks=Peaks(**{name: most[name] for name in Peaks.__struct_fields__}),
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
            days=self._days.records(summary.start, summary.end, stored),
        )
