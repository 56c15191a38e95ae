"""``--metrics-port``: what Prometheus scrapes, for as long as a run lasts.

Served by tasks of the same event loop, so it ends with the run, and no thread outlives it. A page
is put together in a thread, so that the run does not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import hypercorn.trio
import trio
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

from gsc_trio.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH = "/metrics"
_TEXT = "text/plain; charset=utf-8"

_quiet_logger = logging.Logger("gsc_trio.cli.metrics_server")
_quiet_logger.addHandler(logging.NullHandler())


@asynccontextmanager
async def open_metrics_server(host: str, port: int) -> AsyncIterator[tuple[str, MeterProvider]]:
    """Serve the metrics of a new meter provider while the body runs.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one.

    Returns:
        The address of the metrics, and the provider to make instruments of.

    Raises:
        UsageError: a package is missing, or the address cannot be listened on.
    """
    provider, app = _provider_and_app()
    config = Config()
    # Hypercorn leaves a socket open that it cannot bind.
    config.bind = [f"fd://{number}" for number in await _listen(host, port)]
    config.errorlog = _quiet_logger
    serve = partial(
        hypercorn.trio.serve,
        cast("ASGIFramework", app),
        config,
        mode="asgi",
        shutdown_trigger=trio.sleep_forever,  # without one it would listen to signals
    )
    try:
        async with trio.open_nursery() as nursery:
            root, *_ = await nursery.start(serve)
            yield root + PATH, provider
            nursery.cancel_scope.cancel()
    finally:
        provider.shutdown()


async def _listen(host: str, port: int) -> list[int]:
    """File descriptors of sockets that listen; whoever takes them closes them."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise UsageError(
            f"cannot serve metrics on {host}, port {port}: {error.strerror or error}; give "
            "another --metrics-port or --metrics-host"
        ) from None
    return [listener.socket.detach() for listener in listeners]


def _provider_and_app() -> tuple[MeterProvider, App]:
    """A meter provider, and what answers with its metrics."""
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError:
        raise UsageError(
            "--metrics-port needs packages that are not installed: "
            "pip install 'gsc-trio[telemetry]'"
        ) from None
    registry = CollectorRegistry()
    provider = MeterProvider(
        metric_readers=[PrometheusMetricReader(scope_info_enabled=False, registry=registry)],
        resource=Resource.create(
            {"service.name": "gsc-trio", "service.version": version("gsc-trio")}
        ),
        shutdown_on_exit=False,
    )

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:  # until the server cancels it
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
        status, content_type, body = 404, _TEXT, f"metrics are at {PATH}\n".encode()
        if scope["path"] == PATH:
            accepted = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
            encode, content_type = choose_encoder(accepted)
            status, body = 200, await trio.to_thread.run_sync(encode, registry)
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return provider, answer
