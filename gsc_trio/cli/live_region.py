"""A few lines at the end of a terminal's output that change in place.

Nothing flickers: only lines that changed are written, over what was there before instead of after
erasing it, and all in one write, which terminals that can (mode 2026) show at once. The cursor is
hidden just while that is written, so that a process that is killed leaves nothing behind. What a
person types meanwhile, as the ^C of Ctrl-C, is written over.

When a terminal becomes narrower it breaks lines anew, and what was drawn takes more of them. That
is reckoned with, since most terminals do so.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?25h\x1b[?2026l"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"
_NEXT_LINE = "\r\n"


class LiveRegion:
    """Lines that are drawn, and drawn again; other lines go above them. Safe to use in threads.

    Args:
        console: what it is drawn on.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: list[Text] = []
        self._width = 0
        self._lock = threading.Lock()

    def draw(self, lines: Sequence[Text], above: Sequence[Text] = ()) -> None:
        """Show lines instead of those that are there.

        Args:
            lines: each shorter than the terminal is wide, and fewer than it has.
            above: what stays in the terminal for good, above them.

        Raises:
            OSError: the terminal is gone.
        """
        with self._lock:
            self._draw(list(lines), above)

    def tell(self, text: Text) -> None:
        """Show what stays in the terminal for good, above the lines.

        Raises:
            OSError: the terminal is gone.
        """
        with self._lock:
            self._draw(self._lines, [text])

    def leave(self) -> None:
        """Change nothing of what is there any more: what comes next goes below."""
        with self._lock:
            self._lines = []

    def _draw(self, lines: list[Text], above: Sequence[Text]) -> None:
        width = self._console.width
        old = self._lines if width == self._width and not above else []
        if lines == old and not above:
            return
        body = "".join(self._whole_line(line) for line in above)
        for number, line in enumerate(lines):
            is_there = number < len(old) and old[number] == line
            body += _NEXT_LINE if is_there else self._whole_line(line)
        file = self._console.file
        file.write(_BEGIN + self._to_first_line(width) + body + _ERASE_BELOW + _END)
        file.flush()
        self._lines, self._width = lines, width

    def _to_first_line(self, width: int) -> str:
        rows = sum(max(1, -(-line.cell_len // width)) for line in self._lines)
        return f"\r\x1b[{rows}A" if rows else "\r"

    def _whole_line(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, soft_wrap=True, end="")
        return captured.get() + _ERASE_LINE + _NEXT_LINE
