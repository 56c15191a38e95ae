"""The multipart decoder on arbitrary input; the soak does the same a million times."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gsc_trio.errors import MalformedResponseError
from gsc_trio.wire import multipart
from gsc_trio.wire.multipart import MultipartDecoder
from tests.soak.fuzz_multipart import CORPUS, BrokenRuleError, check, fuzz_blindly, mutate

SHAPES = st.lists(st.sampled_from([*CORPUS, b"--b", b"\r\n", b"\n", b"--", b"x", b" " * 40]))


@hypothesis_settings(max_examples=1_500, deadline=None)
@given(st.binary(max_size=2), st.one_of(st.binary(max_size=600), SHAPES.map(b"".join)))
@example(b"\x80\x00", b"\r\n--b\r\n--b")
def test_any_bytes_keep_every_rule(choice: bytes, body: bytes) -> None:
    check(choice.ljust(2, b"\0") + body[:1_000])


def test_blind_mutations_keep_every_rule() -> None:
    assert fuzz_blindly(4_000, seed=1).inputs == 4_000


def check_many() -> None:
    chance = random.Random(0)
    for _ in range(2_000):
        check(mutate(chance))


@pytest.mark.parametrize("name", ["_read_part", "_content_id"])
def test_a_decoder_that_lets_errors_out_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = getattr(multipart, name)

    def fragile(*arguments: object) -> object:
        result = original(*arguments)
        if "es" in str(arguments):
            raise IndexError("a slip")
        return result

    monkeypatch.setattr(multipart, name, fragile)
    with pytest.raises(IndexError, match="a slip"):
        check_many()


def test_a_decoder_that_depends_on_the_split_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = MultipartDecoder.feed

    def forgetful(self: MultipartDecoder, data: bytes) -> list[multipart.BatchPart]:
        return feed(self, data.rstrip(b"\n"))

    monkeypatch.setattr(MultipartDecoder, "feed", forgetful)
    with pytest.raises(BrokenRuleError):
        check_many()


def test_an_input_can_be_replayed() -> None:
    command = [sys.executable, "-m", "tests.soak.fuzz_multipart", "--replay", CORPUS[0].hex()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "no rule is broken\n"


class CountingBuffer(bytearray):
    """Counts the bytes that are searched and moved, which is what time goes into."""

    work = 0

    def find(self, *arguments: object) -> int:
        found = super().find(*arguments)  # type: ignore[arg-type]
        start = arguments[1] if len(arguments) > 1 else 0
        end = arguments[2] if len(arguments) > 2 else len(self)
        assert isinstance(start, int)
        assert isinstance(end, int)
        reached = found if found >= 0 else min(end, len(self))
        CountingBuffer.work += max(0, reached - start) + 1
        return found

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        piece: object = super().__getitem__(key)  # type: ignore[call-overload]
        CountingBuffer.work += len(piece) if isinstance(piece, bytearray) else 1
        return piece


def work_of(chunks: Iterator[bytes]) -> int:
    """How much the decoder does for an answer, in bytes looked at."""
    decoder = MultipartDecoder("multipart/mixed; boundary=b")
    decoder._buffer = CountingBuffer(decoder._buffer)
    CountingBuffer.work = 0
    try:
        for chunk in chunks:
            decoder.feed(chunk)
    except MalformedResponseError:
        pass
    return CountingBuffer.work


HOSTILE: dict[str, Callable[[int], Iterator[bytes]]] = {
    "a preamble without an end, byte by byte": lambda n: (b"x" for _ in range(n)),
    "delimiters that are none": lambda n: (b"\n--bx" for _ in range(n // 5)),
    "the beginnings of delimiters": lambda n: (b"\n--" for _ in range(n // 3)),
    "line breaks": lambda n: (b"\n" for _ in range(n)),
    "parts without content": lambda n: (b"\n--b\n" for _ in range(n // 5)),
    "a part without an end": lambda n: (b"--b\n" if k == 0 else b"x" * 10 for k in range(n // 10)),
    "padding": lambda n: (b"\n--b" + b" " * 100 + b"x" for _ in range(n // 105)),
    "all at once": lambda n: iter([b"\n--bx" * (n // 5)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_four_times_the_bytes_are_at_most_about_four_times_the_work(name: str) -> None:
    little, much = work_of(HOSTILE[name](4_000)), work_of(HOSTILE[name](16_000))
    assert little > 0
    assert much <= 5 * little
