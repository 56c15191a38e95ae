"""The queue, the workers, their batches, and the memory that all of it takes."""

from __future__ import annotations

from opentelemetry.metrics import Meter

from gsc_trio.config import Settings
from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    ConcurrencyChanged,
    DayLeftOut,
    Event,
    JobsReturned,
    MemoryMeasured,
    PageCommitted,
    RunFinished,
    RunStarted,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.metrics.attributes import Attributes

_BATCH_SECONDS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 120)
_BATCH_JOBS = (1, 2, 5, 10, 20, 30, 40, 50, 75, 100, 200, 500, 1_000)


class PipelineMetrics:
    """The dashboard's row about the pipeline."""

    def __init__(self, meter: Meter, common: Attributes, settings: Settings) -> None:
        self._common = common
        self._settings = settings
        self._workers: set[str] = set()
        self._jobs_in_flight = 0
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
        self._resident = meter.create_gauge(
            "gsc_trio.memory.resident", "By", "Memory of the process."
        )
        self._waiting = meter.create_gauge(
            "gsc_trio.memory.waiting", "By", "Answers that wait in memory for their turn."
        )

    def handle(self, event: Event) -> None:
        """Count an event."""
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
            case MemoryMeasured(resident_bytes, waiting_bytes):
                self._resident.set(resident_bytes, self._common)
                self._waiting.set(waiting_bytes, self._common)
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
