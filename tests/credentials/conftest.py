"""The fake OAuth server in process, for code that blocks in a thread and for code that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio

from gsc_trio.testing import open_streaming_transport
from gsc_trio.testing.transport import App


class FromThread(httpx.BaseTransport):
    """Carries requests of a thread to an asynchronous transport in trio's."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self.transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()

        async def fetch() -> httpx.Response:
            same = httpx.Request(
                request.method, request.url, headers=request.headers, content=content
            )
            response = await self.transport.handle_async_request(same)
            return httpx.Response(
                response.status_code, headers=response.headers, content=await response.aread()
            )

        return trio.from_thread.run(fetch)


@asynccontextmanager
async def blocking_transport(app: App) -> AsyncIterator[FromThread]:
    async with open_streaming_transport(app) as transport:
        yield FromThread(transport)
