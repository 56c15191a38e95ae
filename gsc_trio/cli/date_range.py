"""Which days a command line asks for."""

from __future__ import annotations

import datetime as dt

from gsc_trio.dates import (
    HISTORY_MONTHS,
    HOURLY_DAYS,
    check_range,
    last_final_day,
    oldest_day,
    oldest_hourly_day,
)
from gsc_trio.errors import UsageError


def choose_days(
    days: int | None,
    start: dt.date | None,
    end: dt.date | None,
    today: dt.date,
    *,
    is_hourly: bool = False,
) -> tuple[dt.date, dt.date]:
    """The first and the last day that are asked for.

    What is not given follows from the rest: a range ends on the last day whose data is final,
    and begins on the oldest that Search Console keeps. By the hour it ends today, since hours are
    wanted fresh, and the oldest is nine days ago.

    Args:
        days: how many days up to the last final one.
        start: the first day.
        end: the last day.
        today: the current date in Pacific time.
        is_hourly: whether rows are wanted by the hour.

    Raises:
        UsageError: they contradict each other, or there can be no data for them.
    """
    newest, oldest = last_final_day(today), oldest_day(today)
    kept = f"keeps {HISTORY_MONTHS} months"
    if is_hourly:
        newest, oldest = today, oldest_hourly_day(today)
        kept = f"gives hours of {HOURLY_DAYS} days"
    if days is not None:
        if start is not None or end is not None:
            raise UsageError("--days cannot be combined with --start or --end: give one or other")
        available = (newest - oldest).days + 1
        if not 1 <= days <= available:
            raise UsageError(
                f"--days is {days:,}: use 1 to {available}, since Search Console {kept}"
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
    check_range(first, last, today, is_hourly=is_hourly)
    return first, last
