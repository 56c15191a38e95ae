"""What a run exports: a run in which everything happens that can, short of a crash."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gsc_trio.config import Settings
from gsc_trio.model import Day, Halt
from gsc_trio.telemetry.events import (
    ConcurrencyChanged,
    Event,
    QuotaApproaching,
    QuotaPaused,
    RowsMoved,
    WorkerCrashed,
)
from gsc_trio.telemetry.metrics import OpenTelemetryMetrics
from gsc_trio.testing import Fault, Refuse, run_in_virtual_time
from tests.telemetry.runs import TODAY, Recorder, day, fake_with_faults, run_with

SETTINGS = Settings(max_concurrency=3, batch_size=4)


@attrs.frozen
class Family:
    """A metric as Prometheus sees it."""

    name: str
    kind: str
    meaning: str
    samples: frozenset[str]
    """The series' names: a histogram has several."""
    values: frozenset[tuple[str, str]]
    """Each label with each of its values."""

    @property
    def labels(self) -> frozenset[str]:
        return frozenset(label for label, _ in self.values)


@attrs.frozen
class Run:
    """What became known of a run."""

    events: tuple[Event, ...]
    families: dict[str, Family]


@cache
def eventful_run() -> Run:
    """A run with a quota refused, a load quota used up, a failed server, and a halt."""
    registry, told = CollectorRegistry(), Recorder()
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics = OpenTelemetryMetrics(SETTINGS, meter_provider=provider)
    fake = fake_with_faults(
        Fault(Refuse(403, "quotaExceeded", "QPS quota exceeded."), data_date=day(2)),
        Fault(Refuse(403, "quotaExceeded", "Load quota exceeded."), data_date=day(20)),
        Fault(Refuse(503), whole_request=True),
        last_final_day=day(0),
    )

    def on_complete(completed: Day) -> Halt | None:
        return Halt("enough") if completed.data_date == day(25) else None

    run_in_virtual_time(
        lambda: run_with(
            [metrics, told], fake, days=40, end=TODAY, on_complete=on_complete, batch_size=4
        )
    )
    text = generate_latest(registry).decode()
    return Run(tuple(told.events), {family.name: family for family in _families(text)})


def exported_families() -> dict[str, Family]:
    """Every metric of gsc-trio that it exports."""
    return eventful_run().families


def an_event_of_each_kind() -> dict[type[Event], Event]:
    """One of each that the run told, and of those that it could not tell."""
    others: list[Event] = [
        QuotaApproaching("user me", 960, 1_200),
        ConcurrencyChanged(3, 1, "rollback"),
        RowsMoved(day(1)),
        WorkerCrashed("worker-1", ValueError(), 1),
    ]
    told = eventful_run().events
    pauses = [event for event in told if isinstance(event, QuotaPaused)]
    longest = max(pauses, key=lambda pause: pause.seconds)
    return {type(event): event for event in (*others, *told, longest)}


def metrics_set_by(event: Event) -> dict[str, Any]:
    """OpenTelemetry's metrics that have a value after a single event, by name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    OpenTelemetryMetrics(SETTINGS, meter_provider=provider).handle(event)
    data = reader.get_metrics_data()
    scopes = (
        [scope for each in data.resource_metrics for scope in each.scope_metrics] if data else []
    )
    return {metric.name: metric for scope in scopes for metric in scope.metrics}


def _families(text: str) -> Iterator[Family]:
    for family in text_string_to_metric_families(text):
        if family.name.startswith("gsc_trio_"):
            yield Family(
                name=family.name,
                kind=family.type,
                meaning=family.documentation,
                samples=frozenset(sample.name for sample in family.samples),
                values=frozenset(
                    item for sample in family.samples for item in sample.labels.items()
                ),
            )
