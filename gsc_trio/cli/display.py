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

import attrs
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gsc_trio.cli.output import drop_the_rest, one_line, tell


@attrs.frozen
class ProgressSnapshot:
    """How a run is doing at one moment."""

    site: str
    days: int
    """Days completed."""
    days_planned: int
    pages: int
    """Pages committed."""
    pages_waiting: int
    """Pages that were fetched and wait for an earlier one."""
    rows: int
    queries_per_minute: int
    """Queries sent in the last 60 seconds."""
    retries: int
    elapsed_seconds: float
    seconds_left: float | None
    """How long it goes on at the pace so far; None while that is not known."""
    paused_seconds: float
    """How long a pause that Google asked for still lasts."""
    pause_reason: str
    """Why: ``load quota`` or ``too fast``."""

    def days_text(self) -> str:
        """How far it is."""
        return f"{self.days:,} of {self.days_planned:,} days"

    def counts_text(self) -> str:
        """What has come in."""
        waiting = f" (+{self.pages_waiting:,} fetched)" if self.pages_waiting else ""
        text = (
            f"{self.pages:,} pages{waiting}, {self.rows:,} rows, "
            f"{self.queries_per_minute:,} requests/min"
        )
        if self.retries:
            text += f", {self.retries:,} retried"
        if self.paused_seconds:
            text += f", paused for {duration_text(self.paused_seconds)} more ({self.pause_reason})"
        return text

    def time_text(self, *, is_last: bool) -> str:
        """How long it takes, or took."""
        if is_last:
            return f"{duration_text(self.elapsed_seconds)} in all"
        if self.seconds_left is None:
            return f"{duration_text(self.elapsed_seconds)} so far"
        return f"ETA {duration_text(self.seconds_left)}"


def duration_text(seconds: float) -> str:
    """A length of time as hours, minutes and seconds."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"


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

    def show(self, snapshot: ProgressSnapshot, notes: Sequence[str], is_last: bool) -> None:
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

    def show(self, snapshot: ProgressSnapshot, notes: Sequence[str], is_last: bool) -> None:
        """Print a line, unless nothing has changed since the last one."""
        for note in notes:
            self.tell(note)
        counts = (snapshot.pages, snapshot.pages_waiting, snapshot.retries)
        if counts != self._shown or is_last:
            self._shown = counts
            time_text = snapshot.time_text(is_last=is_last)
            self.tell(f"{snapshot.days_text()}, {snapshot.counts_text()}, {time_text}")


class LiveDisplay(Display):
    """A bar that moves, for terminals; notes stay above it.

    A terminal that is closed meanwhile is no reason for a run to end badly.
    """

    interval_seconds = 0.2

    def __init__(self) -> None:
        console = Console(file=sys.stderr, highlight=False)
        self._live = Live(
            console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the cursor back."""
        with self._while_it_is_there():
            self._live.stop()

    def show(self, snapshot: ProgressSnapshot, notes: Sequence[str], is_last: bool) -> None:
        """Draw the bar."""
        for note in notes:
            self.tell(note)
        with self._while_it_is_there():
            self._live.update(_bar(snapshot, is_last))
            if not self._live.is_started:
                self._live.start()
            self._live.refresh()

    def tell(self, text: str) -> None:
        """Print a line above the bar."""
        with self._while_it_is_there():
            self._live.console.print(Text(one_line(text)), soft_wrap=True)

    @contextmanager
    def _while_it_is_there(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            drop_the_rest(sys.stderr)


def _bar(snapshot: ProgressSnapshot, is_last: bool) -> Group:
    first_line = Table.grid(padding=(0, 1))
    first_line.add_row(
        ProgressBar(total=max(1, snapshot.days_planned), completed=snapshot.days, width=28),
        Text(snapshot.days_text(), style="bold"),
        Text(snapshot.time_text(is_last=is_last), style="cyan"),
    )
    return Group(Text(snapshot.site), first_line, Text(snapshot.counts_text(), style="dim"))


def choose_display(*, wants_progress: bool) -> Display:
    """The display that fits what was asked for and where stderr goes."""
    if not wants_progress:
        return Display()
    can_move = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return LiveDisplay() if can_move else LineDisplay()
