"""The days of a run as a picture: a calendar of weeks, or a strip where that has no room."""

from __future__ import annotations

import datetime as dt
from itertools import groupby

from rich.text import Text

from gsc_trio.cli.day_states import DayState
from gsc_trio.cli.look import DIM, STATE_STYLES, Look

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MARGIN = 7
"""How many columns are for what stands before a line, as the name of a weekday."""


def calendar(start: dt.date, states: bytes, width: int, look: Look) -> list[Text] | None:
    """A line with months, then one for each weekday; a column is a week, the newest on the right.

    Args:
        start: the first day.
        states: a `DayState` for each day from then on.
        width: how many columns there are.
        look: the characters to use.

    Returns:
        Eight lines, or None when there are more weeks than columns.
    """
    before = start.weekday()
    weeks = -(-(before + len(states)) // 7)
    columns_per_week = 2 if MARGIN + 2 * weeks <= width else 1
    if MARGIN + weeks * columns_per_week > width:
        return None
    padded = [None] * before + list(states)
    lines = [_months(start, weeks, columns_per_week)]
    for weekday, name in enumerate(WEEKDAYS):
        line = Text(name.ljust(MARGIN), DIM)
        for state, group in groupby(padded[weekday::7]):
            _append_cells(line, state, len(list(group)), columns_per_week, look)
        lines.append(line)
    return lines


def strip(start: dt.date, states: bytes, width: int, rows: int, look: Look) -> list[Text]:
    """The days from left to right; several share a cell where there is no room for all.

    Args:
        start: the first day.
        states: a `DayState` for each day from then on.
        width: how many columns there are.
        rows: how many lines there may be.
        look: the characters to use.

    Returns:
        Lines that begin with their first day.
    """
    cells_per_row = max(1, width - MARGIN)
    days_per_cell = -(-len(states) // (cells_per_row * rows))
    cells = [
        min(states[first : first + days_per_cell]) for first in range(0, len(states), days_per_cell)
    ]
    lines = []
    for first in range(0, len(cells), cells_per_row):
        day = start + dt.timedelta(days=first * days_per_cell)
        line = Text(f"{day:%d %b}".ljust(MARGIN), DIM)
        for state, group in groupby(cells[first : first + cells_per_row]):
            _append_cells(line, state, len(list(group)), 1, look)
        lines.append(line)
    return lines


def _append_cells(line: Text, state: int | None, count: int, columns: int, look: Look) -> None:
    if state is None:
        line.append(" " * (count * columns))
    else:
        cell = look.states[DayState(state)].ljust(columns)
        line.append(cell * count, STATE_STYLES[DayState(state)])


def _months(start: dt.date, weeks: int, columns_per_week: int) -> Text:
    """The names of months above the weeks in which they begin, and of the first."""
    width = MARGIN + weeks * columns_per_week
    line = " " * MARGIN
    first_monday = start - dt.timedelta(days=start.weekday())
    for week in range(weeks):
        sunday = first_monday + dt.timedelta(weeks=week, days=6)
        column = MARGIN + week * columns_per_week
        is_free = (len(line) < column or week == 0) and column + 3 <= width
        if is_free and (sunday.day <= 7 or (week == 0 and sunday.day <= 21)):
            line = line.ljust(column) + f"{sunday:%b}"
    return Text(line, DIM)
