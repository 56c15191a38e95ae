"""Which days there are: Search Console counts them in Pacific time and keeps 16 months."""

from __future__ import annotations

import calendar
import datetime as dt
from zoneinfo import ZoneInfo

from gsc_trio.errors import UsageError

PACIFIC_TIME = ZoneInfo("America/Los_Angeles")
HISTORY_MONTHS = 16
"""How far back data goes (Source: Search Console help, Performance report)."""

HOURLY_DAYS = 10
"""How many days, today among them, can be had by the hour (Source: API reference, ``hour``)."""

FINAL_LAG_DAYS = 3
"""After how many days data is final (Source: Search Console help: 2 to 3 days)."""


def pacific_today() -> dt.date:
    """The current date in Pacific time."""
    return dt.datetime.now(PACIFIC_TIME).date()


def last_final_day(today: dt.date) -> dt.date:
    """The newest day whose data is sure to be final."""
    return today - dt.timedelta(days=FINAL_LAG_DAYS)


def oldest_day(today: dt.date) -> dt.date:
    """The oldest day that still has data: today's date 16 months ago."""
    years, month = divmod(today.year * 12 + today.month - 1 - HISTORY_MONTHS, 12)
    last_of_month = calendar.monthrange(years, month + 1)[1]
    return dt.date(years, month + 1, min(today.day, last_of_month))


def oldest_hourly_day(today: dt.date) -> dt.date:
    """The oldest day that can still be had by the hour."""
    return today - dt.timedelta(days=HOURLY_DAYS - 1)


def check_range(start: dt.date, end: dt.date, today: dt.date, *, is_hourly: bool = False) -> None:
    """Refuse days that cannot have data.

    Raises:
        UsageError: reversed, in the future, or older than 16 months; by the hour, than 10 days.
    """
    if start > end:
        raise UsageError(f"the start {start} is after the end {end}: give the earlier date first")
    if end > today:
        raise UsageError(f"the end {end} is in the future: today is {today} in Pacific time")
    oldest = oldest_day(today)
    if start < oldest:
        raise UsageError(
            f"the start {start} is older than the {HISTORY_MONTHS} months that Search Console "
            f"keeps: start on {oldest} or later"
        )
    oldest = oldest_hourly_day(today)
    if is_hourly and start < oldest:
        raise UsageError(
            f"the start {start} is older than the {HOURLY_DAYS} days that Search Console gives by "
            f"the hour: start on {oldest} or later"
        )
