"""The batch decoder: any split, any truncation, any garbage, however little of it makes sense."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.errors import MalformedResponseError
from gsc_trio.wire.multipart import BatchPart, MultipartDecoder

CONTENT_TYPE = 'multipart/mixed; boundary="batch_x"'

# Preamble, padding, mixed line breaks, near-delimiters, an empty body, no reason, no id, epilogue.
PARTS = [
    BatchPart("1", 200, "OK", {"content-length": "14"}, '{"rows": "é"}'.encode()),
    BatchPart("0", 503, "", {"retry-after": "7"}, b""),
    BatchPart(None, 200, "", {}, b"--batch_xy\n--batch_\r\n --batch_x\r\n-- batch_x\r\n\r"),
]
BODY_UP_TO_ITS_END = (
    b"preamble --batch_x is no delimiter\r\n"
    b"--batch_x \t\r\n"
    b"Content-Type: application/http\r\n"
    b"Content-ID: <response-1>\r\n"
    b"\r\n"
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Length: 14\r\n"
    b"\r\n"
    b'{"rows": "\xc3\xa9"}\r\n'
    b"--batch_x\n"
    b"content-id: <response-0>\n"
    b"\n"
    b"HTTP/1.1 503\n"
    b"Retry-After: 7\n"
    b"\n"
    b"\n"
    b"--batch_x\r\n"
    b"\r\n"
    b"HTTP/1.1 200 \r\n"
    b"\r\n"
    b"--batch_xy\n--batch_\r\n --batch_x\r\n-- batch_x\r\n\r\r\n"
    b"--batch_x--"
)
BODY = (
    BODY_UP_TO_ITS_END + b"\r\nepilogue\r\n--batch_x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n--batch_x--"
)

# Small words of the format, so that random bodies come close to being right.
WORDS = [
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"-", b"--", b" ", b"\t", b":", b"a", b"{}"),
    *(b"\n--batch_x", b"\n--batch_x\n", b"\n--batch_x--", b"batch_x", b"\n--batch_"),
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1", b"Content-ID: <response-1>", b"<", b">"),
    *(b"Content-Length: 2", b"Content-Length: 99", b"\xff", b"\x00", b" " * 200, b"9" * 5_000),
]


def decode(
    chunks: Iterable[bytes],
    content_type: str = CONTENT_TYPE,
    *,
    max_part_bytes: int = 1_000_000,
) -> tuple[list[BatchPart], str]:
    """The parts that came, and the error after them or an empty string."""
    decoder = MultipartDecoder(content_type, max_part_bytes=max_part_bytes)
    parts: list[BatchPart] = []
    try:
        for chunk in chunks:
            parts += decoder.feed(chunk)
        decoder.close()
    except MalformedResponseError as error:
        return parts, str(error)
    return parts, ""


def body_of(*messages: bytes, newline: bytes = b"\r\n") -> bytes:
    """A batch answer of parts with the ids 0, 1, … and the inner messages as given."""
    lines: list[bytes] = []
    for number, message in enumerate(messages):
        lines += [b"--batch_x", b"Content-ID: <response-%d>" % number, b"", message]
    return newline.join([*lines, b"--batch_x--", b""])


def part_of(message: bytes) -> BatchPart:
    """How a part with this inner message is read; that its neighbour is unharmed is checked."""
    (first, second), error = decode([body_of(message, b"HTTP/1.1 200 OK\r\n\r\n{}")])
    assert not error
    assert second == BatchPart("1", 200, "OK", {}, b"{}")
    return first


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    start = 0
    for place in (*sorted(place % (len(data) + 1) for place in places), len(data)):
        yield data[start:place]
        start = place


def single_bytes(data: bytes) -> Iterator[bytes]:
    return cut(data, range(len(data)))


# Splits


def test_every_kind_of_part_is_read() -> None:
    assert decode([BODY]) == (PARTS, "")


@pytest.mark.parametrize("place", range(len(BODY) + 1))
def test_a_body_cut_in_two_anywhere_gives_the_same_parts(place: int) -> None:
    assert decode([BODY[:place], BODY[place:]]) == (PARTS, "")


def test_a_body_that_comes_byte_by_byte_gives_the_same_parts() -> None:
    assert decode(single_bytes(BODY)) == (PARTS, "")


def test_a_part_is_given_as_soon_as_the_delimiter_after_it_is_there() -> None:
    decoder = MultipartDecoder(CONTENT_TYPE)
    given_at = []
    for place, chunk in enumerate(single_bytes(BODY_UP_TO_ITS_END), start=-1):
        given_at += [place + 1 for _ in decoder.feed(chunk)]
    ends = [match.end() for match in re.finditer(rb"\n--batch_x([ \t\r]*\n|--)", BODY)]
    assert given_at == ends[1:4]


def contents(newline: bytes) -> st.SearchStrategy[bytes]:
    """Bodies of parts: anything that holds no delimiter."""
    no_delimiter = re.compile(rb"(?:\A|\n)--batch_x(?:--|[ \t\r]*(?:\n|\Z)|[ \t\r]{128})")
    content = st.lists(st.sampled_from(WORDS) | st.binary(max_size=8), max_size=12).map(b"".join)
    return content.filter(
        # Where lines end in LF, a CR at the end of a content cannot be told from a CRLF.
        lambda data: not no_delimiter.search(data) and not (newline == b"\n" and data[-1:] == b"\r")
    )


@given(st.data(), st.sampled_from([b"\r\n", b"\n"]), st.lists(st.integers(0), max_size=20))
def test_random_parts_survive_random_chunks(
    data: st.DataObject, newline: bytes, places: list[int]
) -> None:
    sent = data.draw(st.lists(st.tuples(st.integers(100, 599), contents(newline)), max_size=5))
    messages = [
        newline.join([b"HTTP/1.1 %d Why not" % status, b"A: b", b"", content])
        for status, content in sent
    ]
    parts = [
        BatchPart(str(number), status, "Why not", {"a": "b"}, content)
        for number, (status, content) in enumerate(sent)
    ]
    body = body_of(*messages, newline=newline)
    assert decode(cut(body, places)) == (parts, "")


# Truncation and garbage


@pytest.mark.parametrize("length", range(len(BODY_UP_TO_ITS_END)))
def test_a_body_cut_off_anywhere_is_malformed_and_gives_no_wrong_part(length: int) -> None:
    parts, error = decode([BODY[:length]])
    assert parts == PARTS[: len(parts)]
    assert "cut off" in error


def test_what_comes_after_the_closing_delimiter_is_not_missed() -> None:
    for length in range(len(BODY_UP_TO_ITS_END), len(BODY)):
        assert decode([BODY[:length]]) == (PARTS, "")


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.lists(st.integers(0), max_size=20))
def test_garbage_is_read_alike_however_it_is_split(words: list[bytes], places: list[int]) -> None:
    body = b"--batch_x\n" + b"".join(words)
    assert decode(cut(body, places)) == decode([body])


@given(st.binary(), st.lists(st.integers(0), max_size=5))
def test_random_bytes_are_malformed(body: bytes, places: list[int]) -> None:
    parts, error = decode(cut(body, places))
    assert not parts
    assert "cut off" in error


@given(st.integers(0), st.integers(0, 40), st.lists(st.sampled_from(WORDS), max_size=3))
def test_a_damaged_body_raises_nothing_but_malformed(
    place: int, length: int, words: list[bytes]
) -> None:
    place %= len(BODY)
    body = BODY[:place] + b"".join(words) + BODY[place + length :]
    parts, _ = decode([body])
    assert all(part.status == 0 or 100 <= part.status <= 999 for part in parts)


@given(
    st.text() | st.lists(st.sampled_from('multipart/mixed;boundary="\\*01=x \t\r\n')).map("".join)
)
def test_a_random_content_type_is_malformed_or_names_a_boundary(content_type: str) -> None:
    with pytest.raises(MalformedResponseError):
        MultipartDecoder(content_type)
    for known in (f"multipart/mixed;{content_type}", f"multipart/mixed; boundary={content_type}"):
        with contextlib.suppress(MalformedResponseError):
            MultipartDecoder(known)


# What is inside a part


@pytest.mark.parametrize(
    ("status_line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, "OK"),
        (b"HTTP/1.1 200", 200, ""),
        (b"HTTP/1.1 200 ", 200, ""),
        (b"HTTP/1.1  404  Not  Found ", 404, "Not  Found"),
        (b"HTTP/2 503 Service Unavailable", 503, "Service Unavailable"),
        (b"HTTP/1.0 429 Trop de requ\xeates", 429, "Trop de requêtes"),
    ],
)
def test_a_status_line_may_lack_its_reason(status_line: bytes, status: int, reason: str) -> None:
    part = part_of(status_line + b"\r\n\r\n{}")
    assert (part.status, part.reason, part.content) == (status, reason, b"{}")


@pytest.mark.parametrize(
    "status_line",
    [
        *(b"", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 OK", b"HTTP/1.1 20", b"HTTP/1.1 2000"),
        *(b"HTTP/1.1 200OK", b"HTTP/1.1 -12", b"HTTP/1.1 000 OK", b"200 OK", b"<html>", b"{}"),
        *(b"GET / HTTP/1.1", b"HTTP/1.1 \xb2\xb2\xb2"),
    ],
)
def test_a_part_without_a_status_line_is_unreadable_and_keeps_its_id(status_line: bytes) -> None:
    part = part_of(status_line + b"\r\n\r\n{}")
    assert (part.content_id, part.status, part.content) == ("0", 0, b"")
    assert "status line" in part.reason


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "lines",
    [
        [b"HTTP/1.1 200 OK", b'{"rows": []}'],
        [b"HTTP/1.1 200 OK", b"A: b", b'{"rows": []}', b""],
        [b"HTTP/1.1 200 OK", b"A: b"],
        [b"HTTP/1.1 200 OK"],
    ],
)
def test_a_part_without_a_blank_line_is_unreadable(lines: list[bytes], newline: bytes) -> None:
    part = part_of(newline.join(lines))
    assert (part.status, part.content) == (0, b"")
    assert "blank line" in part.reason


def test_a_part_whose_own_headers_do_not_end_is_unreadable() -> None:
    body = b"--batch_x\r\nContent-ID: <response-4>\r\nHTTP/1.1 200 OK\r\n\r\n{}\r\n--batch_x--"
    (part,), _ = decode([body])
    assert (part.content_id, part.status, part.content) == ("4", 0, b"")


@pytest.mark.parametrize("padding", [b"\r\n--batch_x", b""])
def test_a_part_without_anything_is_unreadable(padding: bytes) -> None:
    parts, error = decode([b"--batch_x" + padding + b"\r\n--batch_x--"])
    assert {(part.content_id, part.status, part.content) for part in parts} == {(None, 0, b"")}
    assert not error


def test_an_empty_body_may_leave_the_blank_line_to_the_delimiter() -> None:
    assert part_of(b"HTTP/1.1 204 No Content\r\nA: b\r\n") == BatchPart(
        "0", 204, "No Content", {"a": "b"}, b""
    )


def test_headers_are_found_by_lower_case_name_folded_or_not() -> None:
    part = part_of(b"HTTP/1.1 200 OK\r\nRETRY-After:  7 \r\nX-Long: one\r\n two\r\nX:\r\n\r\n")
    assert part.headers == {"retry-after": "7", "x-long": "one two", "x": ""}


@pytest.mark.parametrize(
    ("length", "is_believed"),
    [
        *((b"2", True), (b"0", True), (b"1", True), (b"3", False), (b"99999", False)),
        *((b"9" * 5_000, False), (b"two", True), (b"-5", True), (b"\xb2", True), (b"", True)),
    ],
)
def test_a_part_shorter_than_its_content_length_was_cut_off(
    length: bytes, is_believed: bool
) -> None:
    part = part_of(b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n{}" % length)
    if is_believed:
        assert (part.status, part.content) == (200, b"{}")
    else:
        assert (part.status, part.content) == (0, b"")
        assert "2 bytes of" in part.reason
        assert len(part.reason) < 100


@pytest.mark.parametrize(
    ("header", "content_id"),
    [
        *(("<response-7>", "7"), ("response-7", "7"), ("<7>", "7"), ("7", "7")),
        *(("  <response-a b>  ", "a b"), ("<response-response-7>", "response-7")),
        *(("<Response-7>", "7"), ("response-<7>", "7"), ("<response-1:2@host>", "1:2@host")),
        *(("", None), ("<>", None), ("<response->", None), ("\r\n <response-7>", "7")),
    ],
)
def test_the_id_that_was_sent_is_unwrapped(header: str, content_id: str | None) -> None:
    head = f"--batch_x\r\nCONTENT-id:{header}\r\n\r\n".encode()
    parts, _ = decode([head + b"HTTP/1.1 200 OK\r\n\r\n{}\r\n--batch_x--"])
    assert parts == [BatchPart(content_id, 200, "OK", {}, b"{}")]


def test_parts_are_given_in_the_order_they_come_and_doubles_twice() -> None:
    lines = [b"--batch_x\nContent-ID: <response-%d>\n\nHTTP/1.1 200\n\n" % n for n in (2, 0, 2)]
    parts, _ = decode([b"\n".join([*lines, b"--batch_x--"])])
    assert [part.content_id for part in parts] == ["2", "0", "2"]


# The boundary


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed; boundary=batch_x", "batch_x"),
        ('multipart/mixed; boundary="batch_x"', "batch_x"),
        ("MULTIPART/Mixed;BOUNDARY=batch_x", "batch_x"),
        ('multipart/mixed ; charset=UTF-8 ; boundary = "a b:c/d" ; x=y', "a b:c/d"),
        ('multipart/mixed; note="; boundary=evil"; boundary=batch_x', "batch_x"),
        (r'multipart/mixed; boundary="a\"b\\c"', r'a"b\c'),
        ("multipart/mixed; boundary='()+_,-./:=?", "'()+_,-./:=?"),
        ("multipart/mixed; boundary=--", "--"),
    ],
)
def test_the_boundary_is_found_among_the_parameters(content_type: str, boundary: str) -> None:
    body = f"--{boundary}\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{{}}\r\n--{boundary}--".encode()
    assert decode([body], content_type) == ([BatchPart(None, 200, "OK", {}, b"{}")], "")


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/html; charset=UTF-8", "multipart/mixed", "multipart/mixed; boundary="),
        *('multipart/mixed; boundary=""', "multipart/related; boundary=batch_x", "boundary=x"),
        *("multipart/mixed; boundaries=x", "text/html; boundary=x", "multipart/mixed, boundary=x"),
    ],
)
def test_an_answer_that_is_not_multipart_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedResponseError, match="no batch answer"):
        MultipartDecoder(content_type)


def test_a_delimiter_is_padded_with_few_blanks() -> None:
    padded = BODY.replace(b"--batch_x\n", b"--batch_x" + b" \t" * 50 + b"\n", 1)
    assert decode([padded]) == (PARTS, "")


@pytest.mark.parametrize("length", [200, 1_500])
def test_a_delimiter_with_endless_blanks_is_malformed_and_swallows_no_part(length: int) -> None:
    padded = BODY.replace(b"--batch_x\n", b"--batch_x" + b" " * length + b"\n", 1)
    assert decode([padded]) == decode(single_bytes(padded))
    parts, error = decode([padded])
    assert parts == []
    assert "delimiter" in error


# Errors come after what was complete before them


def test_parts_before_an_error_are_given_and_then_every_call_raises() -> None:
    decoder = MultipartDecoder(CONTENT_TYPE, max_part_bytes=100)
    fine = body_of(b"HTTP/1.1 200 OK\r\n\r\n{}").removesuffix(b"--\r\n")
    parts = decoder.feed(fine + b"\r\n" + b"x" * 1_000)
    assert [part.content for part in parts] == [b"{}"]
    for _ in range(2):
        with pytest.raises(MalformedResponseError, match="more than 100 bytes"):
            decoder.feed(b"more")
        with pytest.raises(MalformedResponseError, match="more than 100 bytes"):
            decoder.close()


def test_an_error_with_no_part_before_it_is_raised_at_once() -> None:
    decoder = MultipartDecoder(CONTENT_TYPE, max_part_bytes=100)
    with pytest.raises(MalformedResponseError, match="more than 100 bytes"):
        decoder.feed(b"--batch_x\r\n" + b"x" * 1_000)


# Memory


@pytest.mark.parametrize("chunk_length", [1, 7, 1_000_000])
def test_the_bound_on_a_part_holds_however_it_is_split(chunk_length: int) -> None:
    message = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000
    body = body_of(message, message)
    part_length = body.index(b"\n--batch_x", 1) - body.index(b"\n")
    chunks = [body[at : at + chunk_length] for at in range(0, len(body), chunk_length)]
    parts, error = decode(chunks, max_part_bytes=part_length)
    assert (len(parts), error) == (2, "")
    parts, error = decode(chunks, max_part_bytes=part_length - 1)
    assert parts == []
    assert "a part of more than" in error


def test_the_buffer_holds_one_part_and_one_chunk_at_the_most() -> None:
    decoder = MultipartDecoder(CONTENT_TYPE, max_part_bytes=10_000)
    decoder.feed(b"--batch_x\r\n")
    for _ in range(10):
        decoder.feed(b"x" * 1_000)
        assert len(decoder._buffer) <= 10_000 + 100
    with pytest.raises(MalformedResponseError):
        decoder.feed(b"x" * 1_000)
    assert len(decoder._buffer) == 0


def test_a_part_that_was_given_is_not_kept() -> None:
    decoder = MultipartDecoder(CONTENT_TYPE)
    body = body_of(*[b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_000] * 5)
    for chunk in cut(body, range(0, len(body), 100)):
        decoder.feed(chunk)
        assert len(decoder._buffer) < 10_300
    assert len(decoder._buffer) == 0


def test_a_preamble_and_an_epilogue_of_any_length_take_no_memory() -> None:
    decoder = MultipartDecoder(CONTENT_TYPE, max_part_bytes=1_000)
    for _ in range(100):
        decoder.feed(b"x" * 999)
        assert len(decoder._buffer) < 1_100
    assert [part.content for part in decoder.feed(b"\r\n" + body_of(b"HTTP/1.1 200\n\n{}"))] == [
        b"{}"
    ]
    for _ in range(100):
        decoder.feed(b"x" * 999)
        assert len(decoder._buffer) == 0
    decoder.close()


@pytest.mark.parametrize("header", [b"x", b"x:", b"x: y\r\n"])
def test_headers_without_end_make_a_part_unreadable(header: bytes) -> None:
    part = part_of(b"HTTP/1.1 200 OK\r\n" + header * 100_000 + b"\r\n\r\n{}")
    assert (part.content_id, part.status, part.headers) == ("0", 0, {})
    assert "headers" in part.reason


# Work


class CountingBuffer(bytearray):
    """A buffer that counts the bytes that are looked at."""

    looked_at = 0

    def find(  # type: ignore[override] # what the decoder looks for is always bytes
        self,
        sub: bytes,
        start: SupportsIndex | None = 0,
        end: SupportsIndex | None = None,
    ) -> int:
        found = super().find(sub, start, end)
        first = 0 if start is None else int(start)
        last = len(self) if end is None else min(len(self), int(end))
        self.looked_at += (found + len(sub) if found >= 0 else last) - first
        return found


def looked_at(body: bytes, chunk_length: int) -> int:
    decoder = MultipartDecoder(CONTENT_TYPE)
    buffer = CountingBuffer(decoder._buffer)
    decoder._buffer = buffer
    for at in range(0, len(body), chunk_length):
        decoder.feed(body[at : at + chunk_length])
    assert decoder._buffer is buffer
    assert buffer.looked_at > 0
    return buffer.looked_at


@pytest.mark.parametrize(
    "content",
    [
        *(b"x" * 20_000, b"\n" * 20_000, b"\n--batch_" * 2_000, b"\n--batch_xy" * 2_000),
        *(b"-" * 20_000, b"\n--batch_x y" * 2_000, b"HTTP/1.1 200 OK\r\n\r\n\r\n--batch_x\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("is_in_part", [True, False])
def test_work_is_linear_in_the_bytes_however_they_are_split(
    content: bytes, is_in_part: bool
) -> None:
    body = b"--batch_x\r\n" * is_in_part + content
    delimiter_length = len(b"\n--batch_x")
    for chunk_length in (1, 2, 100, 4_096, len(body)):
        chunks = -(-len(body) // chunk_length)
        assert looked_at(body, chunk_length) <= 2 * len(body) + 3 * delimiter_length * chunks


def test_a_padded_delimiter_that_comes_byte_by_byte_is_not_searched_over_and_over() -> None:
    body = b"--batch_x\r\n" + (b"\n--batch_x" + b" " * 100 + b"y") * 200
    assert looked_at(body, 1) <= 100 * len(body)
