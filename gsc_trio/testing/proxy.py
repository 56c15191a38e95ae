"""A faulty network on a real socket: a TCP proxy on loopback that spoils answers, byte by byte.

It counts in bytes of the HTTP message, headers included, and knows no more of HTTP than that an
answer follows its request: whatever comes down first after bytes went up begins an answer. That is
so for HTTP/1.1 without pipelining, however many answers a connection carries.
"""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import attrs
import trio

from gsc_trio.testing.network_faults import Drip, NetworkFault, Reset, Silence, Truncate

ChooseFault = Callable[[], NetworkFault | None]

_CONNECTION_ENDED = (trio.BrokenResourceError, trio.ClosedResourceError)


@asynccontextmanager
async def open_faulty_proxy(api_root: str, choose: ChooseFault) -> AsyncIterator[str]:
    """Lead to a server, and spoil its answers, for as long as the body runs; gives its address.

    ::

        faults = iter([Reset(after_bytes=100), Silence(after_bytes=0)])
        async with (
            serve_fake_search_console(fake) as server,
            open_faulty_proxy(server, lambda: next(faults, None)) as api_root,
        ):
            settings = Settings(api_root=api_root)

    Args:
        api_root: the server's address, as ``http://127.0.0.1:8765``.
        choose: called when an answer's first byte has come; what happens to that answer, or None.
            A fault that lies behind an answer's last byte does nothing.

    Raises:
        ValueError: the address has another scheme than http, or no port.
        OSError: there is no port to listen on.
    """
    target = urlsplit(api_root)
    if target.scheme != "http" or target.hostname is None or target.port is None:
        raise ValueError(f"{api_root!r} is no address as http://127.0.0.1:8765")

    async def carry(client: trio.SocketStream) -> None:
        # A server that cannot be reached looks like one that hangs up.
        with suppress(OSError):
            server = await trio.open_tcp_stream(str(target.hostname), int(target.port or 0))
            async with server:
                await _Connection(client, server, choose).carry()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, carry, listeners))
        yield f"http://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class _Connection:
    """A client's connection and the one to the server that belongs to it."""

    client: trio.SocketStream
    server: trio.SocketStream
    choose: ChooseFault
    _is_asked: bool = False
    """Whether bytes went up since the last ones came down."""
    _fault: NetworkFault | None = None
    _bytes_left: float = math.inf
    """How much of the answer may pass before its fault acts."""

    async def carry(self) -> None:
        """Carry both ways until either side hangs up or a fault ends it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry_requests, nursery.cancel_scope)
            with suppress(*_CONNECTION_ENDED):
                await self._carry_answers()
            nursery.cancel_scope.cancel()

    async def _carry_requests(self, cancel_scope: trio.CancelScope) -> None:
        with suppress(*_CONNECTION_ENDED):
            async for data in self.client:
                self._is_asked = True
                await self.server.send_all(data)
        cancel_scope.cancel()

    async def _carry_answers(self) -> None:
        async for data in self.server:
            if self._is_asked:
                self._begin_answer()
            await self._pass_on(data[: int(min(self._bytes_left, len(data)))])
            self._bytes_left -= len(data)
            if self._bytes_left <= 0:
                await self._end_badly()
                return

    def _begin_answer(self) -> None:
        self._is_asked = False
        self._fault = fault = self.choose()
        self._bytes_left = math.inf
        if isinstance(fault, Reset | Truncate | Silence):
            self._bytes_left = fault.after_bytes

    async def _pass_on(self, data: bytes | bytearray) -> None:
        if not isinstance(self._fault, Drip):
            await self.client.send_all(data)
            return
        size = self._fault.bytes_per_piece
        for start in range(0, len(data), size):
            await trio.sleep(self._fault.seconds_between)
            await self.client.send_all(data[start : start + size])

    async def _end_badly(self) -> None:
        if isinstance(self._fault, Silence):
            await trio.sleep_forever()  # until the client gives up
        elif isinstance(self._fault, Reset):
            # To close without lingering is how a socket is told to send RST instead of FIN.
            no_linger = struct.pack("ii", 1, 0)
            self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
            self.client.socket.close()
        else:
            await self.client.send_eof()
