"""Metrics by OpenTelemetry: counters, gauges and histograms under ``gsc_trio.``.

Without an SDK every call here ends in OpenTelemetry's API and does nothing. With one::

    metrics.set_meter_provider(MeterProvider(metric_readers=[...]))
    instruments = [OpenTelemetryMetrics(settings)]
    async with open_search_console(settings, instruments=instruments) as client:
        await backfill(client, query, store, ..., instruments=instruments)

There is a class for each row of a dashboard. Counters begin at 0 with the run, so that the first
increase is seen; gauges of what only a run has fall back to 0 at its end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version

from opentelemetry.metrics import Meter, MeterProvider, get_meter

from gsc_trio.config import Settings
from gsc_trio.errors import (
    AccessTokenExpiredError,
    BackendError,
    LoadQuotaExceededError,
    MalformedResponseError,
    RateLimitExceededError,
    TransportError,
)
from gsc_trio.telemetry.events import (
    BatchFinished,
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
    RequestSent,
    RunFinished,
    RunStarted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.facts import reason_of
from gsc_trio.telemetry.instrument import Instrument

Attributes = Mapping[str, str | bool]

QUOTA_WINDOW_SECONDS = 60.0
"""After this long without queries nothing of a quota is used."""

_QUOTAS = ("site", "user", "project")
_PAUSE_REASONS = tuple(
    reason_of(kind("")) for kind in (RateLimitExceededError, LoadQuotaExceededError)
)
_RETRY_REASONS = _PAUSE_REASONS + tuple(
    reason_of(kind(""))
    for kind in (BackendError, AccessTokenExpiredError, TransportError, MalformedResponseError)
)
_HALT_STATUSES = ("halted", "failed", "interrupted")

# Upper bounds of the histograms' buckets.
_BATCH_SECONDS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 120)
_BATCH_JOBS = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 200, 500, 1_000)
_PAUSE_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800)
_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_HALT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 30)


class OpenTelemetryMetrics:
    """An instrument that keeps OpenTelemetry's up to date, for one run at a time.

    Args:
        settings: the limits to compare with.
        site: named in every value, if given.
        user: likewise.
        meter_provider: where values go; by default OpenTelemetry's global one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        site: str | None = None,
        user: str | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        meter = get_meter("gsc_trio", version("gsc-trio"), meter_provider)
        identities = {"gsc_trio.site": site, "gsc_trio.user": user}
        common = {name: value for name, value in identities.items() if value is not None}
        self._rows: tuple[Instrument, ...] = (
            _Quota(meter, common),
            _Pipeline(meter, common, settings),
            _Persistence(meter, common),
            _Errors(meter, common),
        )

    def handle(self, event: Event) -> None:
        """Count an event."""
        for row in self._rows:
            row.handle(event)


class _Quota:
    """Queries, and how they stand to Google's limits."""

    def __init__(self, meter: Meter, common: Attributes) -> None:
        self._common = common
        self._queries = meter.create_counter(
            "gsc_trio.queries", "{query}", "Queries sent; each part of a batch is one."
        )
        self._used = meter.create_gauge(
            "gsc_trio.quota.used", "{query}", "How much of a quota is used."
        )
        self._limit = meter.create_gauge("gsc_trio.quota.limit", "{query}", "The quota, a minute.")
        self._approaching = meter.create_counter(
            "gsc_trio.quota.approaching", "{crossing}", "How often use passed 80 % of a quota."
        )
        self._exceeded = meter.create_counter(
            "gsc_trio.quota.exceeded", "{query}", "Queries that Google refused as too many."
        )
        self._pauses = meter.create_counter(
            "gsc_trio.pauses", "{pause}", "Pauses that Google asked for."
        )
        self._pause_duration = meter.create_histogram(
            "gsc_trio.pause.duration",
            "s",
            "How long pauses are.",
            explicit_bucket_boundaries_advisory=_PAUSE_SECONDS,
        )

    def handle(self, event: Event) -> None:
        match event:
            case QuotaUsed(key, used, limit):
                attributes = self._of(key)
                self._used.set(used, attributes)
                self._limit.set(limit, attributes)
            case RequestSent(queries, is_batch):
                self._queries.add(queries, {**self._common, "http.batch": is_batch})
            case QuotaApproaching(key):
                self._approaching.add(1, self._of(key))
            case QuotaExceeded(key, queries):
                self._exceeded.add(queries, self._of(key))
            case QuotaPaused(_, seconds, error):
                attributes = {**self._common, "reason": reason_of(error)}
                self._pauses.add(1, attributes)
                self._pause_duration.record(seconds, attributes)
                if seconds > QUOTA_WINDOW_SECONDS:
                    self._set_unused()
            case RunStarted():
                self._begin_at_zero()
            case RunFinished():
                self._set_unused()
            case _:
                pass

    def _of(self, key: str) -> Attributes:
        """The kind of a limit's key; its name would be an identity."""
        return {**self._common, "quota": key.partition(" ")[0]}

    def _set_unused(self) -> None:
        """Nothing is sent for a while, and nobody tells when permits come back."""
        for quota in _QUOTAS:
            self._used.set(0, self._of(quota))

    def _begin_at_zero(self) -> None:
        for is_batch in (False, True):
            self._queries.add(0, {**self._common, "http.batch": is_batch})
        for quota in _QUOTAS:
            self._approaching.add(0, self._of(quota))
        self._exceeded.add(0, self._of("user"))
        for reason in _PAUSE_REASONS:
            self._pauses.add(0, {**self._common, "reason": reason})


class _Pipeline:
    """The queue, the workers and their batches."""

    def __init__(self, meter: Meter, common: Attributes, settings: Settings) -> None:
        self._common = common
        self._settings = settings
        self._workers: set[str] = set()
        self._queue_depth = meter.create_gauge(
            "gsc_trio.queue.depth", "{job}", "Jobs in the queue."
        )
        self._in_flight = meter.create_gauge(
            "gsc_trio.jobs.in_flight", "{job}", "Jobs that were taken and are not committed yet."
        )
        self._in_flight_limit = meter.create_gauge(
            "gsc_trio.jobs.in_flight.limit", "{job}", "How many of them there may be."
        )
        self._concurrency = meter.create_gauge(
            "gsc_trio.concurrency", "{worker}", "How many workers there may be."
        )
        self._workers_active = meter.create_gauge(
            "gsc_trio.workers.active", "{worker}", "How many workers there are."
        )
        self._batch_duration = meter.create_histogram(
            "gsc_trio.batch.duration",
            "s",
            "From sending a batch to its last answer.",
            explicit_bucket_boundaries_advisory=_BATCH_SECONDS,
        )
        self._batch_jobs = meter.create_histogram(
            "gsc_trio.batch.jobs",
            "{job}",
            "How many jobs a batch has.",
            explicit_bucket_boundaries_advisory=_BATCH_JOBS,
        )
        self._jobs_in_flight = 0

    def handle(self, event: Event) -> None:
        match event:
            case BatchTaken() | JobsReturned():
                self._queue_depth.set(event.queue_depth, self._common)
                self._note_in_flight(event.in_flight)
            case PageCommitted() | DayLeftOut():
                self._note_in_flight(self._jobs_in_flight - 1)
            case BatchFinished(_, jobs, _, duration_seconds):
                attributes = {**self._common, "status": event.status}
                self._batch_duration.record(duration_seconds, attributes)
                self._batch_jobs.record(jobs, self._common)
            case WorkerStarted(worker):
                self._workers.add(worker)
                self._workers_active.set(len(self._workers), self._common)
            case WorkerEnded(worker):
                self._workers.discard(worker)
                self._workers_active.set(len(self._workers), self._common)
            case ConcurrencyChanged():
                self._note_concurrency(event.current)
            case RunStarted(days_planned=days_planned):
                self._queue_depth.set(days_planned, self._common)
                self._note_in_flight(0)
                self._note_concurrency(self._settings.initial_concurrency)
            case RunFinished():
                self._queue_depth.set(0, self._common)
                self._note_in_flight(0)
            case _:
                pass

    def _note_in_flight(self, jobs: int) -> None:
        self._jobs_in_flight = jobs
        self._in_flight.set(jobs, self._common)

    def _note_concurrency(self, workers: int) -> None:
        self._concurrency.set(workers, self._common)
        self._in_flight_limit.set(self._settings.in_flight_limit_at(workers), self._common)


class _Persistence:
    """What came in and what is stored."""

    def __init__(self, meter: Meter, common: Attributes) -> None:
        self._common = common
        self._pages_answered = meter.create_counter(
            "gsc_trio.pages.answered", "{page}", "Pages that Google answered."
        )
        self._pages_committed = meter.create_counter(
            "gsc_trio.pages.committed", "{page}", "Pages that are stored."
        )
        self._rows_committed = meter.create_counter(
            "gsc_trio.rows.committed", "{row}", "Rows that are stored."
        )
        self._days_completed = meter.create_counter(
            "gsc_trio.days.completed", "{day}", "Days whose last page is stored."
        )
        self._days_left_out = meter.create_counter(
            "gsc_trio.days.left_out", "{day}", "Days that were not final yet, and left for later."
        )
        self._days_planned = meter.create_gauge(
            "gsc_trio.days.planned", "{day}", "Days that were missing when the run began."
        )
        self._commit_duration = meter.create_histogram(
            "gsc_trio.commit.duration",
            "s",
            "How long the transaction took that stored a page.",
            explicit_bucket_boundaries_advisory=_COMMIT_SECONDS,
        )
        self._last_commit = meter.create_gauge(
            "gsc_trio.last_commit.time", "s", "When a page was last stored, or the run began."
        )
        self._resident = meter.create_gauge(
            "gsc_trio.memory.resident", "By", "Memory of the process."
        )
        self._waiting = meter.create_gauge(
            "gsc_trio.memory.waiting", "By", "Answers that wait in memory for their turn."
        )

    def handle(self, event: Event) -> None:
        match event:
            case PageCommitted(page, duration_seconds):
                self._pages_committed.add(1, self._common)
                self._rows_committed.add(len(page.rows), self._common)
                self._commit_duration.record(duration_seconds, self._common)
                self._last_commit.set(time.time(), self._common)
            case PageAnswered():
                self._pages_answered.add(1, self._common)
            case DayCompleted():
                self._days_completed.add(1, self._common)
            case DayLeftOut():
                self._days_left_out.add(1, self._common)
            case MemoryMeasured(resident_bytes, waiting_bytes):
                self._resident.set(resident_bytes, self._common)
                self._waiting.set(waiting_bytes, self._common)
            case RunStarted(days_planned=days_planned):
                self._days_planned.set(days_planned, self._common)
                self._last_commit.set(time.time(), self._common)
                for counter in (
                    self._pages_answered,
                    self._pages_committed,
                    self._rows_committed,
                    self._days_completed,
                    self._days_left_out,
                ):
                    counter.add(0, self._common)
            case _:
                pass


class _Errors:
    """Retries, crashes and halts."""

    def __init__(self, meter: Meter, common: Attributes) -> None:
        self._common = common
        self._retries = meter.create_counter(
            "gsc_trio.retries", "{job}", "Jobs that failed and were queued again."
        )
        self._crashes = meter.create_counter(
            "gsc_trio.worker.crashes", "{crash}", "Errors of workers that no one expected."
        )
        self._halts = meter.create_counter(
            "gsc_trio.halts", "{halt}", "Runs that stopped before their plan was done."
        )
        self._halt_duration = meter.create_histogram(
            "gsc_trio.halt.duration",
            "s",
            "From asking for a halt to its end.",
            explicit_bucket_boundaries_advisory=_HALT_SECONDS,
        )

    def handle(self, event: Event) -> None:
        match event:
            case JobsRetried(jobs, error):
                self._retries.add(len(jobs), {**self._common, "reason": reason_of(error)})
            case WorkerCrashed():
                self._crashes.add(1, self._common)
            case HaltRequested(halt):
                self._halts.add(1, {**self._common, "status": halt.status})
            case HaltFinished(_, duration_seconds):
                self._halt_duration.record(duration_seconds, self._common)
            case RunStarted():
                self._crashes.add(0, self._common)
                for reason in _RETRY_REASONS:
                    self._retries.add(0, {**self._common, "reason": reason})
                for status in _HALT_STATUSES:
                    self._halts.add(0, {**self._common, "status": status})
            case _:
                pass
