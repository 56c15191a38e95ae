"""``--log-format``: events as lines on stderr, written beside the event loop.

A terminal may be stopped (Ctrl-S) and a pipe full, and then whoever writes to it blocks. So lines
are put into a channel, and a task writes them from a thread, all that have come in at once.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import trio

from gsc_trio.cli.display import Display
from gsc_trio.cli.output import write_lines
from gsc_trio.telemetry.logs import JsonLog, TextLog

Log = JsonLog | TextLog

FORMATS: Mapping[str, Callable[..., Log]] = {"json": JsonLog, "text": TextLog}
"""By what ``--log-format`` calls them."""


class LogDisplay(Display):
    """Shows no progress: events are logged. What a person must know is a line of the log."""

    def __init__(self, log_format: str) -> None:
        self._log = FORMATS[log_format](_write)

    def tell(self, text: str) -> None:
        """Log a line now."""
        self._log.note("info", text)


@asynccontextmanager
async def open_log(log_format: str, level: str) -> AsyncIterator[Log]:
    """A log on stderr; what Python's logging says for ``gsc_trio`` goes there too.

    Leaving it waits until every line is written.

    Args:
        log_format: one of `FORMATS`.
        level: the least important level.
    """
    send_channel, receive_channel = trio.open_memory_channel[str](math.inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_write_all, receive_channel)
        with send_channel:
            log = FORMATS[log_format](send_channel.send_nowait, level=level)
            with _logging_into(log):
                yield log


async def _write_all(lines: trio.MemoryReceiveChannel[str]) -> None:
    # Shielded: it ends when the channel is closed, and then nothing is left.
    with trio.CancelScope(shield=True), lines:
        async for line in lines:
            waiting = [line]
            while lines.statistics().current_buffer_used:
                waiting.append(lines.receive_nowait())
            await trio.to_thread.run_sync(_write, "".join(waiting))


def _write(lines: str) -> None:
    write_lines(sys.stderr, lines)


class _Handler(logging.Handler):
    """Python's log records as lines."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record; this package logs on the event loop only."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._log.note(level, self.format(record))


@contextmanager
def _logging_into(log: Log) -> Iterator[None]:
    logger, handler = logging.getLogger("gsc_trio"), _Handler(log)
    handler.setLevel(logging.WARNING)
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
