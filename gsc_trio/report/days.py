"""What became of each day of the range: seen by events, completed by what the store holds."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from gsc_trio.model import Day, Page
from gsc_trio.report.record import COMPLETE, LEFT_OUT, MISSING, PARTIAL, STORED, DayRecord
from gsc_trio.store.base import StoredDay

_NOTHING = StoredDay(rows=0, is_complete=False)


@attrs.define(eq=False)
class DaysSeen:
    """What a run did to the days of its range; as large as the range."""

    _rows: Counter[dt.date] = attrs.field(factory=Counter)
    _complete: dict[dt.date, int] = attrs.field(factory=dict)
    _left_out: set[dt.date] = attrs.field(factory=set)
    _stored: frozenset[dt.date] = frozenset()

    def note_stored(self, dates: Iterable[dt.date]) -> None:
        """These days were complete before the run."""
        self._stored = frozenset(dates)

    def note_page(self, page: Page) -> None:
        """A page was committed."""
        self._rows[page.job.data_date] += len(page.rows)

    def note_complete(self, day: Day) -> None:
        """The last page of a day was committed."""
        self._complete[day.data_date] = day.rows

    def note_left_out(self, data_date: dt.date) -> None:
        """A day came back empty since its data is not final yet."""
        self._left_out.add(data_date)

    def records(
        self, start: dt.date, end: dt.date, stored: Mapping[dt.date, StoredDay] | None
    ) -> list[DayRecord]:
        """Every day from start to end, the oldest first.

        Args:
            start: the first day.
            end: the last day, included.
            stored: what the store holds after the run; None if that is not known, and what was
                told when the run began has to do.
        """
        count = (end - start).days + 1
        dates = [start + dt.timedelta(days=number) for number in range(count)]
        if stored is None:
            stored = {date: StoredDay(rows=0, is_complete=True) for date in self._stored}
        return [self._record(date, stored.get(date, _NOTHING)) for date in dates]

    def _record(self, date: dt.date, stored: StoredDay) -> DayRecord:
        if date in self._complete:
            return DayRecord(date, COMPLETE, self._complete[date])
        if date in self._left_out:
            return DayRecord(date, LEFT_OUT, 0)
        rows = max(stored.rows, self._rows[date])
        if stored.is_complete:
            return DayRecord(date, STORED, rows)
        return DayRecord(date, PARTIAL if rows else MISSING, rows)
