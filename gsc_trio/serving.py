"""An ASGI app on a real socket, by Hypercorn's trio worker, for as long as a body runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import hypercorn.trio
import trio
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

_quiet_logger = logging.Logger("gsc_trio.serving")
_quiet_logger.addHandler(logging.NullHandler())


@asynccontextmanager
async def serve_asgi(
    app: Callable[..., Awaitable[None]], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve an app; gives its root address.

    Args:
        app: what to serve.
        host: which address to listen on; loopback by default.
        port: which port; 0 for a free one.

    Raises:
        OSError: the address is in use or not this machine's.
    """
    config = Config()
    config.bind = [f"{host}:{port}"]
    # Answers that break off on purpose are no errors of the server.
    config.errorlog = _quiet_logger
    config.graceful_timeout = 0.5
    config.shutdown_timeout = 0.5
    config.keep_alive_timeout = 60
    config.include_date_header = False  # an app may have a clock of its own
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(
            partial(
                hypercorn.trio.serve,
                cast("ASGIFramework", app),
                config,
                mode="asgi",
                shutdown_trigger=stop.wait,
            )
        )
        try:
            yield binds[0]
        finally:
            stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + 2
