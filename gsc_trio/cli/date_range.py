"""Which days a command line asks for."""

from __future__ import annotations

import datetime as dt

from gsc_trio.dates import HISTORY_MONTHS, check_range, last_final_day, oldest_day
from gsc_trio.errors import UsageError


def choose_days(
    days: int | None, start: dt.date | None, end: dt.date | None, today: dt.date
) -> tuple[dt.date, dt.date]:
    """The first and the last day that are asked for.

    What is not given follows from the rest: a range ends on the last day whose data is final,
    and begins on the oldest that Search Console keeps.

    Args:
        days: how many days up to the last final one.
        start: the first day.
        end: the last day.
        today: the current date in Pacific time.

    Raises:
        UsageError: they contradict each other, or there can be no data for them.
    """
    newest, oldest = last_final_day(today), oldest_day(today)
    if days is not None:
        if start is not None or end is not None:
            raise UsageError("--days cannot be combined with --start or --end: give one or other")
        available = (newest - oldest).days + 1
        if not 1 <= days <= available:
            raise UsageError(
                f"--days is {days:,}: use 1 to {available}, since Search Console keeps "
                f"{HISTORY_MONTHS} months"
            )
        return newest - dt.timedelta(days=days - 1), newest
    if start is not None and end is None and newest < start <= today:
        raise UsageError(
            f"--start is {start}, and without --end the range ends on {newest}, the last day with "
            "final data: give --end too"
        )
    # What follows never makes a range reversed that was not given so: the message would mislead.
    first = start or min(oldest, end or oldest)
    last = end or max(newest, first)
    check_range(first, last, today)
    return first, last
