"""A gzip stream put together from pieces that were compressed ahead of time.

A piece is a run of deflate blocks that begins and ends on a byte, is not final, and refers to
nothing before it. Such pieces may follow each other in any order (RFC 1951, 3.2.3); between a gzip
header and a final block with the check sum of everything they are one gzip stream (RFC 1952). So
a page is compressed once and sent any number of times, in batches of any make-up, for the cost of
copying it.

Cost: a multiplication of two polynomials for each piece, some microseconds, since the check sum of
a whole follows from those of its pieces.
"""

from __future__ import annotations

import struct
import zlib
from functools import cache, lru_cache

import attrs

GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Deflate; no name, no time, no system: the same content gives the same bytes."""

FINAL_BLOCK = b"\x03\x00"
"""An empty block that is the last."""

_MAX_STORED_BLOCK = 65_535
_TRAILER = struct.Struct("<II")


@attrs.frozen
class DeflatedPiece:
    """Content as deflate blocks that can be spliced; made by `deflate`, `store` or `from_gzip`."""

    blocks: bytes = attrs.field(repr=False)
    crc32: int
    """Of the content."""
    length: int
    """Of the content, in bytes."""

    def content(self) -> bytes:
        """The content."""
        return zlib.decompress(self.blocks + FINAL_BLOCK, -zlib.MAX_WBITS)

    def as_gzip(self) -> bytes:
        """The piece alone as a gzip file."""
        return GZIP_HEADER + self.blocks + _ending(self.crc32, self.length)


def deflate(content: bytes, level: int = 6) -> DeflatedPiece:
    """Compress content into a piece; levels are zlib's."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = compressor.compress(content) + compressor.flush(zlib.Z_FULL_FLUSH)
    return DeflatedPiece(blocks, zlib.crc32(content), len(content))


def store(content: bytes) -> DeflatedPiece:
    """Make a piece of content as it is: for what is too short to be worth compressing."""
    blocks = []
    for start in range(0, len(content), _MAX_STORED_BLOCK):
        block = content[start : start + _MAX_STORED_BLOCK]
        blocks += [struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block]
    return DeflatedPiece(b"".join(blocks), zlib.crc32(content), len(content))


def from_gzip(data: bytes) -> DeflatedPiece:
    """Take a piece out of what `DeflatedPiece.as_gzip` made, without decompressing it.

    Raises:
        ValueError: it is something else.
    """
    ending = len(FINAL_BLOCK) + _TRAILER.size
    blocks, tail = data[len(GZIP_HEADER) : -ending], data[-ending:]
    if not (
        len(data) >= len(GZIP_HEADER) + ending
        and data.startswith(GZIP_HEADER)
        and tail.startswith(FINAL_BLOCK)
    ):
        raise ValueError("not a gzip file that can be spliced")
    crc32, length = _TRAILER.unpack(tail[len(FINAL_BLOCK) :])
    return DeflatedPiece(blocks, crc32, length)


@attrs.define(eq=False)
class GzipSplicer:
    """Gives a gzip stream piece by piece: what `add` returns, one after another, then `finish`."""

    _is_begun: bool = attrs.field(default=False, init=False)
    _crc32: int = attrs.field(default=0, init=False)
    _length: int = attrs.field(default=0, init=False)

    def add(self, piece: DeflatedPiece) -> bytes:
        """The stream's next bytes; whoever has them can decompress all content up to here."""
        self._crc32 = crc32_combine(self._crc32, piece.crc32, piece.length)
        self._length += piece.length
        return self._header() + piece.blocks

    def finish(self) -> bytes:
        """The stream's last bytes."""
        return self._header() + _ending(self._crc32, self._length)

    def _header(self) -> bytes:
        header = b"" if self._is_begun else GZIP_HEADER
        self._is_begun = True
        return header


def _ending(crc32: int, length: int) -> bytes:
    return FINAL_BLOCK + _TRAILER.pack(crc32, length % (1 << 32))


# CRC-32 as arithmetic on polynomials over GF(2), modulo the polynomial below. As in zlib, bits
# are reflected: the highest bit is the coefficient of x⁰.

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_X = 1 << 30


def crc32_combine(first: int, second: int, second_length: int) -> int:
    """The CRC-32 of two contents one after another, from their own and the second's length.

    Appending n bytes multiplies what came before by x⁸ⁿ.
    """
    return _multiply(_x_to_the(8 * second_length), first) ^ second


def _multiply(left: int, right: int) -> int:
    product = 0
    while left:
        if left & _ONE:
            product ^= right
        left = (left << 1) & 0xFFFFFFFF
        right = (right >> 1) ^ _POLYNOMIAL if right & 1 else right >> 1
    return product


@lru_cache(maxsize=4_096)
def _x_to_the(exponent: int) -> int:
    product, number = _ONE, 0
    while exponent >> number:
        if (exponent >> number) & 1:
            product = _multiply(_x_to_the_power_of_two(number), product)
        number += 1
    return product


@cache
def _x_to_the_power_of_two(number: int) -> int:
    if number == 0:
        return _X
    root = _x_to_the_power_of_two(number - 1)
    return _multiply(root, root)
