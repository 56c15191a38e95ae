"""What a worker process tells of its shards: one address for metrics, and a log.

A worker's shards come and go, each in a trio run of its own. So the metrics are served by a thread
with a trio run of its own, from the worker's beginning to its end, and a shard's numbers go on
where they were when it is worked on again. Each value names its shard: shards are worked on side
by side, and their queues and quotas have nothing to do with each other.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from gsc_trio.cli.log import open_log
from gsc_trio.cli.telemetry import LOOPBACK, TelemetryOptions
from gsc_trio.config import Settings
from gsc_trio.telemetry.instrument import Instrument

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

    from gsc_trio.telemetry.metrics import OpenTelemetryMetrics


@attrs.define(eq=False)
class WorkerTelemetry:
    """Gives each shard's run its instruments; made by `open_worker_telemetry`."""

    options: TelemetryOptions
    _provider: MeterProvider | None
    _metrics: dict[str, OpenTelemetryMetrics] = attrs.field(factory=dict, init=False)

    @asynccontextmanager
    async def open(
        self, settings: Settings, *, shard: str, user: str
    ) -> AsyncIterator[list[Instrument]]:
        """The instruments for a run.

        Args:
            settings: those of the shard.
            shard: its name.
            user: whose quota is spent, to be named only if that was asked for.
        """
        instruments: list[Instrument] = []
        async with AsyncExitStack() as stack:
            if self.options.log_format is not None:
                log = open_log(self.options.log_format, self.options.log_level or "info")
                instruments.append(await stack.enter_async_context(log))
            if self._provider is not None or "opentelemetry.sdk" in sys.modules:
                from gsc_trio.telemetry.traces import OpenTelemetryTraces

                named = user if self.options.with_identities else None
                instruments.append(self._metrics_of(settings, shard, named))
                instruments.append(OpenTelemetryTraces(user=named))
            yield instruments

    def _metrics_of(self, settings: Settings, shard: str, user: str | None) -> OpenTelemetryMetrics:
        from gsc_trio.telemetry.metrics import OpenTelemetryMetrics

        if shard not in self._metrics:
            self._metrics[shard] = OpenTelemetryMetrics(
                settings, user=user, shard=shard, meter_provider=self._provider
            )
        return self._metrics[shard]


@contextmanager
def open_worker_telemetry(options: TelemetryOptions) -> Iterator[WorkerTelemetry]:
    """Serve what was asked for, as long as the body runs.

    Raises:
        UsageError: metrics cannot be served: the port is in use, or a package is missing.
    """
    if options.metrics_port is None:
        yield WorkerTelemetry(options, None)
        return
    host, port = options.metrics_host or LOOPBACK, options.metrics_port
    with _served(host, port) as (address, provider):
        options.tell(f"metrics are at {address}")
        yield WorkerTelemetry(options, provider)


@contextmanager
def _served(host: str, port: int) -> Iterator[tuple[str, MeterProvider]]:
    from gsc_trio.cli.metrics_server import open_metrics_server

    started: Future[tuple[str, MeterProvider, trio.lowlevel.TrioToken]] = Future()
    scope = trio.CancelScope()

    async def serve() -> None:
        async with open_metrics_server(host, port) as (address, provider):
            started.set_result((address, provider, trio.lowlevel.current_trio_token()))
            with scope:
                await trio.sleep_forever()

    with ThreadPoolExecutor(1, "metrics") as thread:
        serving = thread.submit(trio.run, serve)
        either: list[Future[Any]] = [started, serving]
        wait(either, return_when=FIRST_COMPLETED)
        if not started.done():
            serving.result()  # raises what was wrong
        address, provider, token = started.result()
        try:
            yield address, provider
        finally:
            token.run_sync_soon(scope.cancel)
