"""What rows the days have whose last page is still to come, in 8 bytes a row.

A later page of a day may repeat rows of the pages before it. Looking for them in the database takes
as long as writing a page, and hardly ever finds one. So the rows of a day that goes on are
remembered by a hash each: a page of which no hash was seen repeats nothing. Anything else (a hash
that was seen, a day that was begun by another process, no more room) only means to look.

Must never: say that a page repeats nothing when it may.
"""

from __future__ import annotations

from array import array
from collections.abc import Set as AbstractSet

import attrs

from gsc_trio.model import Page

MAX_PAGES = 160
"""Of 25,000 rows each they take 32 MB."""

_Key = tuple[int, str]
"""A dataset and a day."""


@attrs.define(eq=False)
class _OpenDay:
    end: int
    """How many rows of the day Google has given so far."""
    hashes: list[array[int]]


class OpenDays:
    """The days that go on, by dataset and day.

    Args:
        max_pages: how many pages are remembered; the days that are first keep their place.
    """

    def __init__(self, max_pages: int = MAX_PAGES) -> None:
        self._max_pages = max_pages
        self._days: dict[_Key, _OpenDay] = {}

    def note(self, dataset_id: int, data_date: str, page: Page, hashes: AbstractSet[int]) -> bool:
        """Take note of a page before it is written.

        A page that is then not written after all does no harm: it is remembered too much.

        Args:
            dataset_id: whose page it is.
            data_date: its day.
            page: the page.
            hashes: of its rows' keys.

        Returns:
            Whether it may repeat rows of the day's earlier pages.
        """
        key = (dataset_id, data_date)
        day = self._days.pop(key, None)
        is_first = page.job.start_row == 0
        if is_first and not page.is_full:
            return False  # the whole day
        if is_first:
            day = _OpenDay(0, [])
        elif day is None or day.end != page.job.start_row:
            return bool(page.rows)
        may_repeat = any(not hashes.isdisjoint(seen) for seen in day.hashes)
        if page.is_full and self._pages + len(day.hashes) < self._max_pages:
            kept = [*day.hashes, array("q", hashes)]
            self._days[key] = _OpenDay(day.end + len(page.rows), kept)
        return may_repeat

    @property
    def _pages(self) -> int:
        return sum(len(day.hashes) for day in self._days.values())
