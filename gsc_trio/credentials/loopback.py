"""Where the browser comes back to: a web server on this machine alone, for one answer.

Its page says nothing that came from outside, and its address is listened on only while someone
signs in (Source: RFC 8252, section 7.3).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from gsc_trio.errors import UsageError
from gsc_trio.serving import serve_asgi

Accept = Callable[[str], str]
"""Takes the address that the browser was sent to; returns what to tell the person there."""

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>gsc-trio</title>
<body style="font: 1.1rem system-ui, sans-serif; margin: 15vh auto; max-width: 30rem">
<h1 style="font-size: 1.3rem">gsc-trio</h1><p>{text}</p>
"""


class _RedirectApp:
    def __init__(self, accept: Accept) -> None:
        self._accept = accept

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer an HTTP request (ASGI)."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        if scope["type"] != "http":
            return
        query = scope.get("query_string", b"").decode("ascii", "replace")
        is_redirect = scope["path"] == "/" and scope["method"] == "GET"
        text = self._accept(f"/?{query}") if is_redirect else "There is nothing here."
        headers = {
            "content-type": "text/html; charset=utf-8",
            "cache-control": "no-store",
            "connection": "close",
            # The code in this page's address goes nowhere else.
            "referrer-policy": "no-referrer",
        }
        await send(
            {
                "type": "http.response.start",
                "status": 200 if is_redirect else 404,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        content = _PAGE.format(text=text).encode()
        await send({"type": "http.response.body", "body": content})


@asynccontextmanager
async def open_loopback(accept: Accept, port: int = 0) -> AsyncIterator[str]:
    """Listen for the browser while the body runs; gives the address to send it to.

    Args:
        accept: called with each address that it comes back with.
        port: which port of 127.0.0.1; 0 for a free one.

    Raises:
        UsageError: the port is not free.
    """
    try:
        # Hypercorn would leave its socket open where this fails.
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from None
    async with serve_asgi(_RedirectApp(accept), port=port) as address:
        yield f"{address}/"
