"""A network in virtual time: delays up and down, and faults at any byte of an answer.

It lies between an httpx client and an app's transport (`open_streaming_transport`). A request that
has left arrives even if its sender has died by then, as in a real network; and an answer that
stays silent for longer than the client's read timeout is given up as a socket would be.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import cast

import attrs
import httpx
import trio

from gsc_trio.testing.network_faults import Drip, NetworkFault, Reset, Silence, Truncate

Delay = Callable[[], float]


@attrs.define(eq=False)
class SimulatedNetwork(httpx.AsyncBaseTransport):
    """The transport to give to a client; `open_simulated_network` makes it.

    Args:
        server: the transport that it leads to.
        nursery: where requests travel.
        delay: draws how long a request travels, and each piece of an answer, in seconds.
        choose: draws what happens to an answer.
    """

    server: httpx.AsyncBaseTransport
    nursery: trio.Nursery
    delay: Delay
    choose: Callable[[], NetworkFault | None]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and give its answer as it comes."""
        fault = self.choose()
        read_timeout = request.extensions.get("timeout", {}).get("read") or math.inf
        journey = _Journey()
        self.nursery.start_soon(self._deliver, request, journey)
        try:
            with _read_within(read_timeout):
                await journey.arrived.wait()
        finally:
            journey.is_abandoned = not journey.arrived.is_set()
        response = journey.response
        if response is None:
            raise journey.error or httpx.ReadError("no answer")
        if isinstance(fault, Reset) and fault.after_bytes <= 0:
            await response.aclose()
            raise httpx.ReadError("Connection reset by peer")
        body = _Body(response, fault, read_timeout, self.delay)
        return httpx.Response(response.status_code, headers=response.headers, stream=body)

    async def _deliver(self, request: httpx.Request, journey: _Journey) -> None:
        await trio.sleep(self.delay())
        try:
            journey.response = await self.server.handle_async_request(request)
        except httpx.TransportError as error:
            journey.error = error
        if not journey.is_abandoned:
            journey.arrived.set()
        elif journey.response is not None:
            await journey.response.aclose()


@attrs.define(eq=False)
class _Journey:
    """A request on its way, and what became of it."""

    arrived: trio.Event = attrs.field(factory=trio.Event)
    response: httpx.Response | None = None
    error: httpx.TransportError | None = None
    is_abandoned: bool = False


class _Body(httpx.AsyncByteStream):
    """An answer's body on its way, piece by piece."""

    def __init__(
        self, response: httpx.Response, fault: NetworkFault | None, timeout: float, delay: Delay
    ) -> None:
        self._response = response
        self._chunks = cast("httpx.AsyncByteStream", response.stream).__aiter__()
        self._fault = fault
        self._timeout = timeout
        self._delay = delay
        self._bytes_left: float = math.inf
        if isinstance(fault, Reset | Truncate | Silence):
            self._bytes_left = fault.after_bytes
        self._pieces: deque[bytes] = deque()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._bytes_left <= 0:
            await self._end_badly()
        if not self._pieces:
            with _read_within(self._timeout):
                await trio.sleep(self._delay())
                self._take(await anext(self._chunks))
        if isinstance(self._fault, Drip):
            await trio.sleep(self._fault.seconds_between)
        return self._pieces.popleft()

    def _take(self, chunk: bytes) -> None:
        chunk = chunk[: int(min(self._bytes_left, len(chunk)))]
        self._bytes_left -= len(chunk)
        size = self._fault.bytes_per_piece if isinstance(self._fault, Drip) else len(chunk)
        self._pieces.extend(chunk[start : start + size] for start in range(0, len(chunk), size))

    async def _end_badly(self) -> None:
        if isinstance(self._fault, Silence):
            with _read_within(self._timeout):
                await trio.sleep_forever()
        if isinstance(self._fault, Truncate):
            raise httpx.RemoteProtocolError("peer closed connection before the answer's end")
        raise httpx.ReadError("Connection reset by peer")

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _read_within(seconds: float) -> Iterator[None]:
    """Raise as a socket does when nothing comes for too long."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise httpx.ReadTimeout("nothing came for too long")


@asynccontextmanager
async def open_simulated_network(
    server: httpx.AsyncBaseTransport,
    *,
    delay: Delay,
    choose: Callable[[], NetworkFault | None] = lambda: None,
) -> AsyncIterator[SimulatedNetwork]:
    """Open a network; parameters as for `SimulatedNetwork`."""
    async with trio.open_nursery() as nursery:
        yield SimulatedNetwork(server, nursery, delay, choose)
        nursery.cancel_scope.cancel()
