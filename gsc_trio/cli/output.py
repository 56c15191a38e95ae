"""Where text goes: results to stdout, everything else to stderr, and nobody minds a closed pipe.

``gsc-trio status | head -1`` closes stdout early, and a terminal can be closed at any time. That is
the reader's good right: what is left is dropped, without a message, and the exit code stays what
the command says. What cannot be written to stderr is never a reason to fail; a result that cannot
be written for another reason, as a full disk, is.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

_READER_IS_GONE = (errno.EPIPE, errno.EIO)
"""A closed pipe, a closed terminal."""


def say(text: str) -> None:
    """Write a result, as one or more lines, to stdout."""
    _write(sys.stdout, f"{text}\n")


def tell(text: str) -> None:
    """Write one line for the person who watches to stderr."""
    _write(sys.stderr, f"{one_line(text)}\n")


def write_lines(stream: TextIO | None, lines: str) -> None:
    """Write lines as they are, each with its end; nobody minds if the reader is gone."""
    _write(stream, lines)


def say_json(value: Any) -> None:
    """Write one JSON value to stdout; it is ASCII, so that it survives any locale."""
    say(json.dumps(value, default=str))


def one_line(text: str) -> str:
    """The text on one line, without control characters: a server may have sent it."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """The text with a space for each control character."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def survive_any_locale() -> None:
    """Write letters that stdout's encoding lacks as escapes instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_the_rest(stream: TextIO | None) -> None:
    """Write nothing more to a stream, not even what Python flushes when it ends."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed before this program began, as by >&-
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        drop_the_rest(stream)
        if stream is sys.stdout and error.errno not in _READER_IS_GONE:
            raise
