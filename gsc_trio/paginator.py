"""The plan: which jobs a range of days still needs, by what the ledger says is there.

Days go from the newest to the oldest, so that a user sees recent data first, and so that the old
end of the history is met last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

import attrs

from gsc_trio.model import Halt, Job, Page
from gsc_trio.store.base import StoredDay


def days_backwards(start: dt.date, end: dt.date) -> Iterator[dt.date]:
    """The days from ``end`` back to ``start``, both included."""
    for ordinal in range(end.toordinal(), start.toordinal() - 1, -1):
        yield dt.date.fromordinal(ordinal)


def plan_jobs(stored: Mapping[dt.date, StoredDay], start: dt.date, end: dt.date) -> list[Job]:
    """The next page of every day that is not complete.

    Args:
        stored: what is there; days that are absent are missing altogether.
        start: the first day.
        end: the last day, included.
    """
    jobs = []
    for day in days_backwards(start, end):
        there = stored.get(day)
        if there is None:
            jobs.append(Job(day))
        elif not there.is_complete:
            jobs.append(Job(day, there.rows))
    return jobs


@attrs.define(eq=False)
class EmptyDays:
    """Counts days in a row without rows, newest to oldest, to find where a history begins.

    First pages come in the order of the plan, so each day is counted once, in order; days that
    were stored before are counted where they lie.

    Args:
        limit: how many in a row stop the run; None never stops it.
        end: the newest day.
        stored: what was there before the run.
    """

    limit: int | None
    end: dt.date
    stored: Mapping[dt.date, StoredDay]
    _in_a_row: int = attrs.field(default=0, init=False)
    _counted_down_to: dt.date = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counted_down_to = self.end + dt.timedelta(days=1)

    def note(self, page: Page) -> Halt | None:
        """Count a page's day; returns why the run must stop, if it must."""
        day = page.job.data_date
        if self.limit is None or day >= self._counted_down_to:
            return None
        one_day = dt.timedelta(days=1)
        for earlier in days_backwards(day + one_day, self._counted_down_to - one_day):
            there = self.stored.get(earlier)
            self._count(is_empty=there is not None and there.rows == 0)
        self._count(is_empty=page.job.start_row == 0 and not page.rows)
        self._counted_down_to = day
        if self._in_a_row < self.limit:
            return None
        newest = day + one_day * (self._in_a_row - 1)
        return Halt(
            f"{self._in_a_row} days in a row are empty, {newest} back to {day}: "
            "the property's history begins there (empty_result_limit)"
        )

    def _count(self, *, is_empty: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if is_empty else 0
