"""What rows the days have whose last page is still to come: 8 bytes a row, in a temporary file.

A later page of a day may repeat rows of the pages before it. Looking for them in the database takes
as long as writing a page, and hardly ever finds one. So the rows of a day that goes on are
remembered by a hash each: a page of which no hash was seen repeats nothing. Anything else (a hash
that was seen, a day that was begun by another process, no more room) only means to look.

The hashes are in a file since most days of a large property go on at the same time, for as long as
a run takes: in memory they took a tenth of what the whole program may.

Must never: say that a page repeats nothing when it may.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import attrs

from gsc_trio.model import MAX_ROW_LIMIT, Page
from gsc_trio.scratch_file import ScratchFile

MAX_PAGES = 1_000
"""Of 25,000 rows each they take 200 MB of the file."""

_BYTES = 8
"""A hash takes."""

_PLACE_BYTES = MAX_ROW_LIMIT * _BYTES

_Key = tuple[int, str]
"""A dataset and a day."""


@attrs.frozen
class _KeptPage:
    place: int
    """Which of the file's places has its hashes."""
    hashes: int
    """How many there are."""


@attrs.frozen
class _OpenDay:
    end: int
    """How many rows of the day Google has given so far."""
    pages: tuple[_KeptPage, ...]


class OpenDays:
    """The days that go on, by dataset and day. It blocks for as long as a file's cache takes.

    Args:
        max_pages: how many pages are remembered; the days that are first keep their place.
    """

    def __init__(self, max_pages: int = MAX_PAGES) -> None:
        self._file = ScratchFile()
        self._free = list(reversed(range(max_pages)))
        """Places in the file; the last one is taken next."""
        self._days: dict[_Key, _OpenDay] = {}

    def note(self, dataset_id: int, data_date: str, page: Page, hashes: array[int]) -> bool:
        """Take note of a page before it is written.

        A page that is then not written after all does no harm: it is remembered too much.

        Args:
            dataset_id: whose page it is.
            data_date: its day.
            page: the page.
            hashes: of its rows' keys, 8 bytes each.

        Returns:
            Whether it may repeat rows of the day's earlier pages.
        """
        key = (dataset_id, data_date)
        day = self._days.pop(key, None)
        if page.job.start_row == 0:
            self._forget(day)
            day = _OpenDay(0, ())
        elif day is None or day.end != page.job.start_row:
            self._forget(day)
            return bool(page.rows)
        may_repeat = self._has_any(day.pages, hashes)
        kept = self._keep(hashes) if page.is_full else None
        if kept is None:
            self._forget(day)
        else:
            self._days[key] = _OpenDay(day.end + len(page.rows), (*day.pages, kept))
        return may_repeat

    def _has_any(self, pages: Sequence[_KeptPage], hashes: array[int]) -> bool:
        distinct = set(hashes) if pages else set()
        for kept in pages:
            try:
                content = self._file.read(kept.place * _PLACE_BYTES, kept.hashes * _BYTES)
            except OSError:
                return True
            seen = array("q", content)
            if len(seen) < kept.hashes or not distinct.isdisjoint(seen):
                return True
        return False

    def _keep(self, hashes: array[int]) -> _KeptPage | None:
        """Remember a page; None if there is no room for it."""
        if not self._free or len(hashes) > MAX_ROW_LIMIT:
            return None
        kept = _KeptPage(self._free.pop(), len(hashes))
        try:
            self._file.write(hashes, kept.place * _PLACE_BYTES)
        except OSError:
            self._free.append(kept.place)
            return None
        return kept

    def _forget(self, day: _OpenDay | None) -> None:
        if day is not None:
            self._free.extend(kept.place for kept in day.pages)
