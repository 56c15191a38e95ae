"""How the fake sends an answer: piece by piece, compressed if the client takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import attrs

from gsc_trio.testing.answers import Answer
from gsc_trio.testing.spliced_gzip import DeflatedPiece, GzipSplicer, deflate, store

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_WORTH_COMPRESSING = 512
"""Bytes; shorter pieces, as the headers of parts, are sent as they are."""


class ConnectionCutError(Exception):
    """The fake breaks off an answer on purpose; whoever serves it closes the connection."""


@attrs.define(eq=False)
class Response:
    """An answer on its way to a client.

    Args:
        send_message: ASGI's.
        accepts_gzip: whether the client does.
        is_damaged: whether what is compressed is to be spoilt.
    """

    send_message: Send
    accepts_gzip: bool
    is_damaged: bool = False
    _splicer: GzipSplicer | None = attrs.field(default=None, init=False)

    async def start(self, status: int, headers: dict[str, str]) -> None:
        """Send status and headers."""
        if self.accepts_gzip:
            headers = {**headers, "content-encoding": "gzip"}
            self._splicer = GzipSplicer()
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send_message({"type": "http.response.start", "status": status, "headers": pairs})

    async def send(self, *pieces: bytes | DeflatedPiece, is_last: bool = False) -> None:
        """Send the next pieces of the body."""
        if self._splicer is None:
            chunks = [each if isinstance(each, bytes) else each.content() for each in pieces]
        else:
            chunks = [self._splicer.add(_deflated(each)) for each in pieces]
            if is_last:
                chunks.append(self._splicer.finish())
        content = b"".join(chunks)
        if self._splicer is not None and self.is_damaged:
            content = content[:10] + bytes(byte ^ 0x55 for byte in content[10:])
        await self.send_message(
            {"type": "http.response.body", "body": content, "more_body": not is_last}
        )

    async def send_whole(self, answer: Answer) -> None:
        """Send an answer that is all there."""
        await self.start(answer.status, {"content-type": answer.content_type, **answer.headers})
        await self.send(answer.body, is_last=True)

    async def send_half(self, answer: Answer) -> None:
        """Send the first half and break off.

        Raises:
            ConnectionCutError: always.
        """
        await self.start(answer.status, {"content-type": answer.content_type})
        await self.send(answer.content[: answer.length // 2])
        raise ConnectionCutError


def _deflated(content: bytes | DeflatedPiece) -> DeflatedPiece:
    if isinstance(content, DeflatedPiece):
        return content
    return deflate(content, 1) if len(content) >= _WORTH_COMPRESSING else store(content)
