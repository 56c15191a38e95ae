"""What is logged while a picture is on the terminal, kept until it can be shown above it.

Python writes warnings and errors to stderr where a program sets up no logging, which would tear
the picture apart. Nothing is written here: whoever logs may be on the event loop.
"""

from __future__ import annotations

import logging
import queue
from types import TracebackType
from typing import Self

from gsc_trio.cli.output import printable


class LogLines(logging.Handler):
    """Gathers what would go to stderr; a program that set up logging is left alone."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._logger = logging.getLogger("gsc_trio")

    def __enter__(self) -> Self:
        if not self._logger.hasHandlers():
            self._logger.addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's lines, those of a traceback too."""
        for line in self.format(record).splitlines():
            self._lines.put(printable(line))

    def take(self) -> list[str]:
        """The lines since the last time."""
        lines = []
        while not self._lines.empty():
            lines.append(self._lines.get())
        return lines
