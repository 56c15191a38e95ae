"""What came in and what is stored."""

from __future__ import annotations

import time

from opentelemetry.metrics import Meter

from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    Event,
    PageAnswered,
    PageCommitted,
    RowsMoved,
    RunStarted,
    TransactionCommitted,
)
from gsc_trio.telemetry.metrics.attributes import Attributes

_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class PersistenceMetrics:
    """The dashboard's row about the database."""

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
        self._days_fetched_again = meter.create_counter(
            "gsc_trio.days.fetched_again",
            "{day}",
            "Days that were begun again, since rows moved between their pages.",
        )
        self._days_planned = meter.create_gauge(
            "gsc_trio.days.planned", "{day}", "Days that were missing when the run began."
        )
        self._commit_duration = meter.create_histogram(
            "gsc_trio.commit.duration",
            "s",
            "How long a transaction takes, whether it stores one page or several.",
            explicit_bucket_boundaries_advisory=_COMMIT_SECONDS,
        )
        self._last_commit = meter.create_gauge(
            "gsc_trio.last_commit.time", "s", "When a page was last stored, or the run began."
        )

    def handle(self, event: Event) -> None:
        """Count an event."""
        match event:
            case TransactionCommitted(duration_seconds=duration_seconds):
                self._commit_duration.record(duration_seconds, self._common)
                self._last_commit.set(time.time(), self._common)
            case PageCommitted(page):
                self._pages_committed.add(1, self._common)
                self._rows_committed.add(len(page.rows), self._common)
            case PageAnswered():
                self._pages_answered.add(1, self._common)
            case DayCompleted():
                self._days_completed.add(1, self._common)
            case DayLeftOut():
                self._days_left_out.add(1, self._common)
            case RowsMoved():
                self._days_fetched_again.add(1, self._common)
            case RunStarted(days_planned=days_planned):
                self._days_planned.set(days_planned, self._common)
                self._last_commit.set(time.time(), self._common)
                for counter in (
                    self._pages_answered,
                    self._pages_committed,
                    self._rows_committed,
                    self._days_completed,
                    self._days_left_out,
                    self._days_fetched_again,
                ):
                    counter.add(0, self._common)
            case _:
                pass
