"""The days of a run as a calendar, and what was not fetched in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby

import attrs

from gsc_trio.report.record import (
    COMPLETE,
    LEFT_OUT,
    MISSING,
    PARTIAL,
    STORED,
    DayRecord,
    RunRecord,
)

STATE_TEXTS = {
    COMPLETE: "fetched",
    STORED: "stored before",
    PARTIAL: "partly",
    MISSING: "missing",
    LEFT_OUT: "not final yet",
}
"""What the calendar calls a day's state."""

_RANGES_SHOWN = 12


@attrs.frozen
class Month:
    """A month of the calendar, or the part of it that was asked for."""

    title: str
    offset: int
    """The weekday of its first day here; Monday is 0."""
    days: Sequence[DayRecord]


@attrs.frozen
class Skipped:
    """Days that the run did not fetch, or not wholly, for one reason."""

    state: str
    what: str
    why: str
    count: int
    ranges: Sequence[str]
    """Which days, as ``2026-11-01 to 2026-11-05`` and ``2026-11-07``."""


def months(days: Sequence[DayRecord]) -> list[Month]:
    """The days by month, the oldest first."""
    by_month = groupby(days, key=lambda day: (day.data_date.year, day.data_date.month))
    found = []
    for _, group in by_month:
        month = list(group)
        first = month[0].data_date
        found.append(Month(f"{first:%b} {first.year}", first.weekday(), month))
    return found


def counts(days: Sequence[DayRecord]) -> dict[str, int]:
    """How many days there are in each state, for the states that there are."""
    found = {state: sum(day.state == state for day in days) for state in STATE_TEXTS}
    return {state: count for state, count in found.items() if count}


def skipped(record: RunRecord) -> list[Skipped]:
    """What was not fetched and why, the worst first."""
    reason = record.summary.reason or record.summary.status
    whys = {
        MISSING: ("missing", f"the run ended before they came: {reason}"),
        PARTIAL: ("there in part", f"the run ended before their last page: {reason}"),
        LEFT_OUT: ("not final yet", "Google's data is not final: a later run asks again"),
        STORED: ("stored before", "they were complete in the database: nothing was asked"),
    }
    found = []
    for state, (what, why) in whys.items():
        dates = [day.data_date for day in record.days if day.state == state]
        if dates:
            found.append(Skipped(state, what, why, len(dates), _range_texts(dates)))
    return found


def _range_texts(dates: Sequence[dt.date]) -> list[str]:
    ranges = list(_ranges(dates))
    shown = [
        str(first) if first == last else f"{first} to {last}"
        for first, last in ranges[:_RANGES_SHOWN]
    ]
    more = len(ranges) - len(shown)
    return [*shown, f"and {more:,} more"] if more else shown


def _ranges(dates: Sequence[dt.date]) -> Iterator[tuple[dt.date, dt.date]]:
    first = last = dates[0]
    for date in dates[1:]:
        if date != last + dt.timedelta(days=1):
            yield first, last
            first = date
        last = date
    yield first, last
