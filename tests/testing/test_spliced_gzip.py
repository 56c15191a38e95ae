"""Pieces that were compressed on their own are one gzip stream to everyone who reads it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.testing.spliced_gzip import (
    DeflatedPiece,
    GzipSplicer,
    crc32_combine,
    deflate,
    from_gzip,
    store,
)

pieces = st.lists(
    st.tuples(
        st.one_of(st.binary(max_size=300), st.binary(max_size=9).map(lambda word: word * 20_000)),
        st.sampled_from([store, deflate, lambda content: deflate(content, 1)]),
    ),
    max_size=6,
)

Make = Callable[[bytes], DeflatedPiece]


def spliced(chosen: list[tuple[bytes, Make]]) -> list[bytes]:
    splicer = GzipSplicer()
    return [*(splicer.add(make(content)) for content, make in chosen), splicer.finish()]


@given(pieces)
def test_pieces_of_any_kind_in_any_order_are_one_gzip_stream(
    chosen: list[tuple[bytes, Make]],
) -> None:
    stream, content = b"".join(spliced(chosen)), b"".join(content for content, _ in chosen)
    assert gzip.decompress(stream) == content
    assert zlib.decompress(stream, 31) == content
    assert httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=stream).content == (
        content
    )


@given(pieces)
def test_a_piece_can_be_read_as_soon_as_its_bytes_are_there(
    chosen: list[tuple[bytes, Make]],
) -> None:
    decompressor = zlib.decompressobj(31)
    for (content, _), chunk in zip(chosen, spliced(chosen), strict=False):
        assert decompressor.decompress(chunk) == content


@given(st.binary(max_size=2_000), st.binary(max_size=2_000))
def test_the_check_sum_of_two_follows_from_those_of_each(first: bytes, second: bytes) -> None:
    combined = crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second))
    assert combined == zlib.crc32(first + second)


@given(st.binary(max_size=2_000))
def test_a_piece_survives_being_a_gzip_file(content: bytes) -> None:
    piece = deflate(content)
    assert gzip.decompress(piece.as_gzip()) == content
    assert from_gzip(piece.as_gzip()) == piece
    assert piece.content() == content


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", gzip.compress(b"content", mtime=0), b"x" * 40])
def test_other_gzip_files_are_no_pieces(data: bytes) -> None:
    with pytest.raises(ValueError, match="can be spliced"):
        from_gzip(data)
