"""How progress looks on stderr: live on a terminal, plain lines elsewhere, or not at all.

A display's methods write, so they may block: they are called in threads, one at a time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

from gsc_trio.cli.group_frame import group_frame
from gsc_trio.cli.group_snapshot import GroupSnapshot
from gsc_trio.cli.live_frame import frame
from gsc_trio.cli.live_region import LiveRegion
from gsc_trio.cli.log_lines import LogLines
from gsc_trio.cli.look import look_for
from gsc_trio.cli.output import drop_the_rest, one_line, tell
from gsc_trio.cli.snapshot import ProgressSnapshot

Snapshot = ProgressSnapshot | GroupSnapshot

_WITHOUT_CURSOR = ("dumb", "unknown")
"""Values of TERM for terminals whose cursor cannot be moved."""


class Display:
    """Shows no progress; what a person must know is still told. The others build on it."""

    interval_seconds: float = 3_600.0
    """How often to show."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, snapshot: Snapshot, notes: Sequence[str], is_last: bool) -> None:
        """Show how the run is doing.

        Args:
            snapshot: how it is doing.
            notes: what else happened, a line each.
            is_last: whether the run is over.
        """

    def tell(self, text: str) -> None:
        """Show a line now."""
        tell(text)


class LineDisplay(Display):
    """Plain lines, for logs: one every few seconds while something moves, and one at the end."""

    interval_seconds = 5.0

    def __init__(self) -> None:
        self._shown: tuple[int, ...] = ()

    def show(self, snapshot: Snapshot, notes: Sequence[str], is_last: bool) -> None:
        """Print a line, unless nothing has changed since the last one."""
        for note in notes:
            self.tell(note)
        if snapshot.counts != self._shown or is_last:
            self._shown = snapshot.counts
            self.tell(snapshot.line(is_last=is_last))


class LiveDisplay(Display):
    """A picture that changes in place, for terminals; notes stay above it.

    A terminal that is closed meanwhile is no reason for a run to end badly.
    """

    interval_seconds = 0.4

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, highlight=False)
        self._region = LiveRegion(self._console)
        self._log = LogLines()

    def __enter__(self) -> Self:
        self._log.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the picture where it is."""
        self._log.__exit__(kind, error, traceback)
        self._region.leave()
        for line in self._log.take():
            tell(line)

    def show(self, snapshot: Snapshot, notes: Sequence[str], is_last: bool) -> None:
        """Draw the picture."""
        width, height = self._console.size
        look = look_for(self._console)
        if isinstance(snapshot, GroupSnapshot):
            lines = group_frame(snapshot, width, height, look, is_last=is_last)
        else:
            lines = frame(snapshot, width, height, look, is_last=is_last)
        above = [*map(Text, self._log.take()), *map(_note, notes)]
        with self._while_it_is_there():
            self._region.draw(lines, above)

    def tell(self, text: str) -> None:
        """Print a line above the picture."""
        with self._while_it_is_there():
            self._region.tell(_note(text))

    @contextmanager
    def _while_it_is_there(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            drop_the_rest(sys.stderr)


def _note(text: str) -> Text:
    return Text(one_line(text))


def choose_display(*, wants_progress: bool) -> Display:
    """The display that fits what was asked for and where stderr goes."""
    if not wants_progress:
        return Display()
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    can_move = is_terminal and os.environ.get("TERM") not in _WITHOUT_CURSOR
    return LiveDisplay() if can_move else LineDisplay()
