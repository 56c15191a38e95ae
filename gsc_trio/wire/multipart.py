"""Google's batch format, multipart/mixed with an HTTP message in each part, both ways.

Responsible for: encoding calls into a request body, and decoding an answer's body as it streams
in, a part at a time, however the bytes are split.
Must never: trust the order, the number or the ids of the parts (the caller matches ids), guess at
a part that is cut off, hold more than one part that is not complete, or raise anything but
`MalformedResponseError`, whatever the bytes are.

Rules of decoding:

1. A delimiter is a line of its own: a line break or the start of the body, ``--boundary``, and
   nothing but a few blanks up to the next line break; ``--boundary--`` closes at once, whatever
   follows, so that the last part need not wait. Line breaks are CRLF or LF, mixed as they come.
   Whatever is before the first delimiter or after the closing one is skipped.
2. A part is given as soon as the delimiter after it has arrived, and never without it: a body
   that ends without a closing delimiter is cut off, and `MultipartDecoder.close` says so.
3. A part whose inside is not an HTTP message, or shorter than it says it is, is given with
   status 0: its neighbours are not to blame. A longer one is believed: delimiters rule.
4. Parts that are complete are given before an error about what follows them is raised: `feed`
   returns them, and the next call raises.

Cost: linear in the bytes, however they are split: what has been searched is never searched again,
but for the one delimiter line that may be coming in. Cutting parts off the front of the buffer is
amortised O(1) a part, since a bytearray moves its start, not its bytes.
Memory: one part and one chunk; a part over ``max_part_bytes`` is an error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message

import attrs

from gsc_trio.errors import MalformedResponseError

DEFAULT_MAX_PART_BYTES = 64 * 1024 * 1024
"""Ten times a full page of long URLs and queries (Source: 25,000 rows of about 230 bytes)."""

MAX_HEADER_BYTES = 16 * 1024
"""How long the headers of a part may be: a bound on what is made of a part that has no end."""

_MAX_PADDING = 128
"""A delimiter line ends in a few blanks at the most; they are looked at again as they come in."""

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? +([1-9]\d\d)(?: +(.*))?", re.DOTALL)
_HEADER_LINES = re.compile(rb"(?:[\w!#$%&'*+.^`|~-]+[ \t]*:[^\n]*+(?:\n|\Z))*+")


@attrs.frozen
class BatchCall:
    """One call of a batch."""

    content_id: str
    """A short id without spaces; the answer's part has it too."""
    method: str
    path: str
    """Path and query string, not a full URL."""
    content: bytes
    """A JSON body."""


@attrs.frozen
class BatchPart:
    """The answer to one call."""

    content_id: str | None
    """The id that was sent with the call, or None if the part has none."""
    status: int
    """The HTTP status, or 0 if the part cannot be read."""
    reason: str
    """The reason phrase, which may be empty; with status 0, what is wrong."""
    headers: Mapping[str, str]
    """The inner headers, names in lower case."""
    content: bytes


def choose_boundary(calls: Sequence[BatchCall]) -> str:
    """A boundary that occurs in none of the calls; the same calls give the same one."""
    salt = 0
    while True:
        digest = hashlib.sha256(str(salt).encode())
        for call in calls:
            digest.update(call.content)
        boundary = f"batch_{digest.hexdigest()[:32]}"
        if not any(boundary.encode() in call.content for call in calls):
            return boundary
        salt += 1


def batch_content_type(boundary: str) -> str:
    """The Content-Type of a batch request."""
    return f"multipart/mixed; boundary={boundary}"


def encode_batch(calls: Iterable[BatchCall], boundary: str) -> bytes:
    """The body of a batch request (Source: Google's guide to batching requests).

    Args:
        calls: at most 1,000.
        boundary: one that occurs in none of them, as `choose_boundary` makes it.
    """
    lines: list[bytes] = []
    for call in calls:
        lines += [
            f"--{boundary}".encode(),
            b"Content-Type: application/http",
            f"Content-ID: <{call.content_id}>".encode(),
            b"",
            f"{call.method} {call.path} HTTP/1.1".encode(),
            b"Content-Type: application/json",
            f"Content-Length: {len(call.content)}".encode(),
            b"",
            call.content,
        ]
    lines += [f"--{boundary}--".encode(), b""]
    return b"\r\n".join(lines)


class MultipartDecoder:
    """Decodes a multipart/mixed answer incrementally.

    Call `feed` with each chunk, in order, and `close` at the end of the body::

        decoder = MultipartDecoder(content_type)
        for chunk in chunks:
            for part in decoder.feed(chunk):
                ...
        decoder.close()

    Args:
        content_type: the answer's Content-Type, which names the boundary.
        max_part_bytes: how long a part may be, headers included.

    Raises:
        MalformedResponseError: the answer is not multipart/mixed with a boundary.
    """

    def __init__(self, content_type: str, *, max_part_bytes: int = DEFAULT_MAX_PART_BYTES) -> None:
        self._delimiter = b"\n--" + _boundary_of(content_type)
        self._max_part_bytes = max_part_bytes
        # The line break before the first delimiter, if it is the first thing in the body.
        self._buffer = bytearray(b"\n")
        self._searched = 0
        self._is_in_part = False
        self._is_closed = False
        self._error: MalformedResponseError | None = None

    def feed(self, data: bytes) -> list[BatchPart]:
        """Take the next bytes, give the parts that they complete.

        Raises:
            MalformedResponseError: an earlier call has found, after the parts it gave, something
                that cannot be decoded; or this one has, and no part before it.
        """
        self._raise_error()
        if self._is_closed:
            return []
        self._buffer += data
        parts: list[BatchPart] = []
        try:
            self._read_parts_into(parts)
        except MalformedResponseError as error:
            self._buffer.clear()
            self._error = error
            if not parts:
                raise
        return parts

    def close(self) -> None:
        """The body has ended.

        Raises:
            MalformedResponseError: it was cut off: there was no closing delimiter.
        """
        self._raise_error()
        if not self._is_closed:
            raise MalformedResponseError("the answer was cut off before its closing delimiter")

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _read_parts_into(self, parts: list[BatchPart]) -> None:
        while not self._is_closed and (span := self._find_delimiter()) is not None:
            start, end = span
            if self._is_in_part:
                self._check_length(start)
                parts.append(_read_part(self._buffer, start))
            self._is_in_part = True
            # The line break that ends this delimiter may be the one that begins the next.
            del self._buffer[: end - 1]
            self._searched = 0
        if self._is_closed:
            self._buffer.clear()
        elif self._is_in_part:
            self._check_length(self._searched)
        else:  # nobody waits for the rest of the preamble
            del self._buffer[: self._searched]
            self._searched = 0

    def _check_length(self, length: int) -> None:
        if length > self._max_part_bytes:
            raise MalformedResponseError(
                f"the answer has a part of more than {self._max_part_bytes:,} bytes"
            )

    def _find_delimiter(self) -> tuple[int, int] | None:
        """Where the next delimiter begins (its line break included) and ends (likewise)."""
        buffer, delimiter = self._buffer, self._delimiter
        while True:
            start = buffer.find(delimiter, self._searched)
            if start < 0:
                self._searched = max(self._searched, len(buffer) - len(delimiter) + 1)
                return None
            self._searched = start
            after = start + len(delimiter)
            if buffer[after : after + 2] == b"--":
                self._is_closed = True
                return start, after + 2
            line_end = buffer.find(b"\n", after, after + _MAX_PADDING)
            rest = buffer[after : after + _MAX_PADDING if line_end < 0 else line_end]
            is_padding = not rest.strip(b" \t\r")
            if is_padding and line_end >= 0:
                return start, line_end + 1
            if is_padding and len(rest) == _MAX_PADDING:
                raise MalformedResponseError("the answer has a delimiter line that does not end")
            if line_end < 0 and (is_padding or rest == b"-"):
                return None
            self._searched = start + 1  # a longer word that begins like the boundary


def _boundary_of(content_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary("")
    if message.get_content_type() != "multipart/mixed" or not boundary:
        shown = " ".join(content_type.split())[:100]
        raise MalformedResponseError(f"the answer is no batch answer, but {shown or 'untyped'}")
    return boundary.encode("latin-1", "replace")


def _read_part(buffer: bytearray, end: int) -> BatchPart:
    """Read a part, from the line break before its headers to the one before the delimiter."""
    if buffer[end - 1 : end] == b"\r":
        end -= 1
    outer, message_start = _split(buffer, 0, end)
    content_id = _content_id(_headers(outer).get("content-id", ""))
    inner, content_start = _split(buffer, message_start or end, end)
    status_line, _, header_lines = inner.partition(b"\n")
    match = _STATUS_LINE.fullmatch(status_line.strip())
    if match is None:
        return BatchPart(content_id, 0, "the part has no HTTP status line", {}, b"")
    if content_start is None or not _HEADER_LINES.fullmatch(header_lines):
        reason = f"the part has no blank line after headers of at most {MAX_HEADER_BYTES:,} bytes"
        return BatchPart(content_id, 0, reason, {}, b"")
    headers = _headers(header_lines)
    content_length = end - content_start
    declared = headers.get("content-length", "")
    # Python refuses to convert numbers of thousands of digits; 18 are more than any part has.
    if declared.isdecimal() and (len(declared) > 18 or content_length < int(declared)):
        reason = f"the part has {content_length} bytes of {declared[:18]}"
        return BatchPart(content_id, 0, reason, headers, b"")
    reason = (match[2] or b"").decode("latin-1").strip()
    with memoryview(buffer) as view:
        content = bytes(view[content_start:end])
    return BatchPart(content_id, int(match[1]), reason, headers, content)


def _split(buffer: bytearray, start: int, end: int) -> tuple[bytes, int | None]:
    """What is before the first blank line, unfolded; and where what is after it begins, or None.

    Headers with nothing after them need no blank line: the delimiter's line break does for it.
    """
    limit = min(end, start + MAX_HEADER_BYTES)
    match = _BLANK_LINE.search(buffer, start, limit)
    if match is not None:
        return _unfolded(buffer[start : match.start()]), match.end()
    is_ended = limit == end and buffer[end - 1 : end] == b"\n"
    return _unfolded(buffer[start:limit]), end if is_ended else None


def _unfolded(lines: bytearray) -> bytes:
    return _FOLD.sub(b" ", bytes(lines))


def _headers(block: bytes) -> dict[str, str]:
    pairs = (line.partition(b":") for line in block.splitlines())
    return {
        name.strip().lower().decode("latin-1"): value.strip().decode("latin-1")
        for name, colon, value in pairs
        if colon
    }


def _content_id(value: str) -> str | None:
    """The id that was sent: answers come as ``<response-ID>``, or nearly so."""
    value = value.strip().removeprefix("<").removesuffix(">")
    if value[:9].lower() == "response-":
        value = value[9:].removeprefix("<")
    return value or None
