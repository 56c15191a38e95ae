"""What a network does to an answer on its way, in bytes of the HTTP message.

The same faults act on a real socket (`gsc_trio.testing.proxy`) and in process
(`gsc_trio.testing.transport`). What the server itself does wrong is in `gsc_trio.testing.faults`.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Reset:
    """The connection is reset after so many bytes of the answer; 0 for before its first."""

    after_bytes: int


@attrs.frozen
class Truncate:
    """The connection is closed in good order after so many bytes, as if the answer ended there."""

    after_bytes: int


@attrs.frozen
class Silence:
    """After so many bytes nothing comes any more, and nobody closes the connection."""

    after_bytes: int


@attrs.frozen
class Drip:
    """The answer comes in small pieces, with a wait before each."""

    bytes_per_piece: int
    seconds_between: float


NetworkFault = Reset | Truncate | Silence | Drip
