"""Which characters and colours the live view is made of, for what a terminal can show."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from rich.console import Console
from rich.style import Style
from rich.text import Text

from gsc_trio.cli.day_states import DayState

DIM = Style(color="grey50")
STRONG = Style(bold=True)
ACCENT = Style(color="dodger_blue1")
GOOD = Style(color="green3")
WARN = Style(color="orange1")
BAD = Style(color="red1")
"""Of the 256 colours those that can be read on black and on white; Rich finds the nearest of 16."""

STATE_STYLES: Mapping[DayState, Style] = {
    DayState.TO_COME: DIM,
    DayState.IN_FLIGHT: WARN,
    DayState.FETCHED: ACCENT,
    DayState.LEFT_OUT: BAD,
    DayState.COMMITTED: GOOD,
    DayState.STORED: Style(color="dark_sea_green4"),
}


@attrs.frozen
class Look:
    """Characters, each one column wide."""

    states: Mapping[DayState, str]
    full: str
    """A bar where it is full."""
    half: str
    """Its end, half a column further on."""
    empty: str
    ellipsis: str
    """What stands for the end of a line that has no room."""

    def bar(self, width: int, *parts: tuple[float, Style]) -> Text:
        """A bar of some columns.

        Args:
            width: how many.
            *parts: which share of it, 0 to 1, has which style; what is left over is empty.
        """
        bar, share_so_far, halves = Text(), 0.0, 0
        for share, style in parts:
            share_so_far = min(1.0, share_so_far + share)
            halves = int(2 * width * share_so_far)
            bar.append(self.full * (halves // 2 - len(bar)), style)
        if halves % 2:
            bar.append(self.half, style)
        bar.append(self.empty * (width - len(bar)), DIM)
        return bar


COLOURED = Look(
    states={
        DayState.TO_COME: "·",
        DayState.IN_FLIGHT: "□",
        DayState.FETCHED: "■",
        DayState.LEFT_OUT: "×",
        DayState.COMMITTED: "■",
        DayState.STORED: "■",
    },
    full="━",
    half="╸",
    empty="━",
    ellipsis="…",
)
PLAIN = Look(
    states={
        DayState.TO_COME: "·",
        DayState.IN_FLIGHT: "□",
        DayState.FETCHED: "▒",
        DayState.LEFT_OUT: "×",
        DayState.COMMITTED: "█",
        DayState.STORED: "▓",
    },
    full="━",
    half="╸",
    empty=" ",
    ellipsis="…",
)
"""Without colours."""

ASCII = Look(
    states={
        DayState.TO_COME: ".",
        DayState.IN_FLIGHT: "o",
        DayState.FETCHED: "+",
        DayState.LEFT_OUT: "x",
        DayState.COMMITTED: "#",
        DayState.STORED: "=",
    },
    full="#",
    half=" ",
    empty="-",
    ellipsis="~",
)
"""Where the locale has no other letters."""


def look_for(console: Console) -> Look:
    """What fits a terminal."""
    if console.options.ascii_only:
        return ASCII
    return PLAIN if console.no_color or console.color_system is None else COLOURED
