"""How much a run is watched, for `benchmarks.telemetry`: not at all, by no-ops, or by everything.

``stubbed``
    Nothing is told but what the summary is counted from: as if there were no telemetry.
``off``
    OpenTelemetry's instruments without an SDK: what a program pays that wants no telemetry.
``on``
    Metrics for Prometheus, with one scrape, and traces, both with an SDK; every event as a line of
    JSON; what the run's report and the live view are made of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import get_args

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from gsc_trio.cli.progress import Progress
from gsc_trio.config import Settings
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.telemetry import events
from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    Event,
    JobsRetried,
    PageCommitted,
    RequestSent,
    RowsMoved,
)
from gsc_trio.telemetry.instrument import Instrument, Instruments
from gsc_trio.telemetry.logs import JsonLog
from gsc_trio.telemetry.metrics import OpenTelemetryMetrics
from gsc_trio.telemetry.traces import OpenTelemetryTraces

MODES = ("stubbed", "off", "on")

COUNTED = (PageCommitted, DayCompleted, DayLeftOut, RowsMoved, RequestSent, JobsRetried)
"""What `gsc_trio.summary.RunMeter` counts."""


class _Discard(SpanExporter):
    """Takes spans and forgets them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Forget."""
        return SpanExportResult.SUCCESS


@contextmanager
def watched(mode: str, settings: Settings) -> Iterator[list[Instrument]]:
    """The instruments of a mode; ``stubbed`` changes this process for good.

    Args:
        mode: one of `MODES`.
        settings: those of the run.
    """
    if mode == "stubbed":
        _stub_out()
        yield []
    elif mode == "off":
        yield [OpenTelemetryMetrics(settings), OpenTelemetryTraces()]
    else:
        registry = CollectorRegistry()
        reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
        meters = MeterProvider([reader], shutdown_on_exit=False)
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(_Discard()))
        with open(os.devnull, "w", encoding="ascii", buffering=1) as devnull:
            yield [
                OpenTelemetryMetrics(settings, meter_provider=meters),
                OpenTelemetryTraces(tracer_provider=tracers),
                JsonLog(devnull.write, level="debug"),
                RunRecorder(),
                Progress(),
            ]
            generate_latest(registry)
        tracers.shutdown()
        meters.shutdown()


def _stub_out() -> None:
    """Make no events but those that are counted, and measure no memory."""
    stubbed = [kind for kind in get_args(Event) if kind not in COUNTED]
    for module in [module for name, module in sys.modules.items() if name.startswith("gsc_trio.")]:
        names = [name for name, value in vars(module).items() if value in stubbed]
        for name in (*names, "resident_bytes"):
            if hasattr(module, name) and module is not events:
                setattr(module, name, _nothing)
    tell = Instruments.handle

    def handle(self: Instruments, event: Event | None) -> None:
        if event is not None:
            tell(self, event)

    setattr(Instruments, "handle", handle)  # noqa: B010 - mypy knows better than to assign it


def _nothing(*_: object, **__: object) -> None:
    """What a stub makes."""
