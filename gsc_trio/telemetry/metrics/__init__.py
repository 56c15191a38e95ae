"""Metrics by OpenTelemetry: counters, gauges and histograms under ``gsc_trio.``.

Without an SDK every call here ends in OpenTelemetry's API and does nothing. With one::

    metrics.set_meter_provider(MeterProvider(metric_readers=[...]))
    instruments = [OpenTelemetryMetrics(settings)]
    async with open_search_console(settings, instruments=instruments) as client:
        await backfill(client, query, store, ..., instruments=instruments)

There is a module for each row of the dashboard. Counters begin at 0 with the run, so that the first
increase is seen; gauges of what only a run has fall back to 0 at its end.
"""

from __future__ import annotations

from importlib.metadata import version

from opentelemetry.metrics import MeterProvider, get_meter

from gsc_trio.config import Settings
from gsc_trio.telemetry.events import Event
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.telemetry.metrics.errors import ErrorMetrics
from gsc_trio.telemetry.metrics.persistence import PersistenceMetrics
from gsc_trio.telemetry.metrics.pipeline import PipelineMetrics
from gsc_trio.telemetry.metrics.quota import QuotaMetrics


class OpenTelemetryMetrics:
    """An instrument that keeps OpenTelemetry's up to date, for one run at a time.

    Args:
        settings: the limits to compare with.
        site: named in every value, if given.
        user: likewise.
        shard: named in every value, if given; shards of one process are told apart by it.
        meter_provider: where values go; by default OpenTelemetry's global one.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        site: str | None = None,
        user: str | None = None,
        shard: str | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        # One meter would ask only the first shard how much of its quota is used.
        scope = None if shard is None else {"gsc_trio.shard": shard}
        meter = get_meter("gsc_trio", version("gsc-trio"), meter_provider, attributes=scope)
        identities = {"gsc_trio.site": site, "gsc_trio.user": user, "gsc_trio.shard": shard}
        common = {name: value for name, value in identities.items() if value is not None}
        self._rows: tuple[Instrument, ...] = (
            QuotaMetrics(meter, common),
            PipelineMetrics(meter, common, settings),
            PersistenceMetrics(meter, common),
            ErrorMetrics(meter, common),
        )

    def handle(self, event: Event) -> None:
        """Count an event."""
        for row in self._rows:
            row.handle(event)
