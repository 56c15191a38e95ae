"""Retries, crashes and halts."""

from __future__ import annotations

from opentelemetry.metrics import Meter

from gsc_trio.telemetry.events import (
    Event,
    HaltFinished,
    HaltRequested,
    JobsRetried,
    RunStarted,
    WorkerCrashed,
)
from gsc_trio.telemetry.facts import reason_of
from gsc_trio.telemetry.metrics.attributes import HALT_STATUSES, RETRY_REASONS, Attributes

_HALT_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 30)


class ErrorMetrics:
    """The dashboard's row about errors."""

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
        """Count an event."""
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
                for reason in RETRY_REASONS:
                    self._retries.add(0, {**self._common, "reason": reason})
                for status in HALT_STATUSES:
                    self._halts.add(0, {**self._common, "status": status})
            case _:
                pass
