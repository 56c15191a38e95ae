"""An httpx transport that calls an ASGI app in process and streams what it answers.

httpx's own keeps an answer until it is whole; with this one a batch's parts arrive one by one, as
they do over a socket, and virtual time sees every wait.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

App = Callable[..., Awaitable[None]]


class _Body(httpx.AsyncByteStream):
    """The answer's body as it comes; closing it ends the app's task."""

    def __init__(
        self, chunks: trio.MemoryReceiveChannel[bytes], cancel_scope: trio.CancelScope
    ) -> None:
        self._chunks = chunks
        self._cancel_scope = cancel_scope
        self.is_broken = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._chunks.receive()
        except trio.EndOfChannel:
            if self.is_broken:
                raise httpx.RemoteProtocolError("the server broke off its answer") from None
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self._cancel_scope.cancel()
        self._chunks.close()


class _StreamingTransport(httpx.AsyncBaseTransport):
    def __init__(self, app: App, nursery: trio.Nursery) -> None:
        self._app = app
        self._nursery = nursery

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        response: httpx.Response = await self._nursery.start(self._serve, request, content)
        return response

    async def _serve(
        self,
        request: httpx.Request,
        content: bytes,
        *,
        task_status: trio.TaskStatus[httpx.Response],
    ) -> None:
        # A socket would hold some of the answer too, so the app does not wait for the reader.
        send_channel, receive_channel = trio.open_memory_channel[bytes](math.inf)
        cancel_scope = trio.CancelScope()
        body = _Body(receive_channel, cancel_scope)
        is_started = False

        async def receive() -> dict[str, Any]:
            await trio.lowlevel.checkpoint()
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal is_started
            await trio.lowlevel.checkpoint()
            if message["type"] == "http.response.start":
                is_started = True
                task_status.started(
                    httpx.Response(message["status"], headers=message["headers"], stream=body)
                )
            elif message.get("body"):
                send_channel.send_nowait(message["body"])

        with send_channel, cancel_scope:
            try:
                await self._app(_scope_of(request), receive, send)
            except Exception as error:
                if not is_started:
                    raise httpx.RemoteProtocolError("the server broke off") from error
                body.is_broken = True
        if not is_started:
            raise httpx.RemoteProtocolError("the server broke off")


def _scope_of(request: httpx.Request) -> dict[str, Any]:
    path, _, query_string = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": path,
        "query_string": query_string,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 123),
    }


@asynccontextmanager
async def open_streaming_transport(app: App) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """Open a transport that calls an ASGI app, for `gsc_trio.open_search_console`.

    Args:
        app: for example a `FakeSearchConsole`.
    """
    async with trio.open_nursery() as nursery:
        yield _StreamingTransport(app, nursery)
        nursery.cancel_scope.cancel()
