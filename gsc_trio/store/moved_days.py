"""Days whose rows moved from page to page while they were fetched, and how often they may.

Google's pages are not a snapshot. A page that repeats rows of the pages before it says that rows
have moved meanwhile, and others may have moved past every page: its day is to be fetched again. A
day whose rows never rest is taken as it is in the end, since a row at the border of two pages can
be given on both for ever.

Must never: let a day be fetched again without end.
"""

from __future__ import annotations

from collections import Counter

import attrs

from gsc_trio.model import Page

TIMES_AGAIN = 2
"""So often a process fetches a day again."""

_Key = tuple[int, str]
"""A dataset and a day."""


def state_of(data_state: str, *, has_moved: bool) -> str:
    """The data state to enter a page with: one whose rows have moved is not final.

    So its day counts as missing for a ``final`` query until it was fetched again.
    """
    return "all" if has_moved and data_state == "final" else data_state


@attrs.define(eq=False)
class MovedDays:
    """What a process has seen of them, by dataset and day."""

    _times: Counter[_Key] = attrs.field(factory=Counter, init=False)
    _moved_now: dict[_Key, set[int]] = attrs.field(factory=dict, init=False)
    """Days whose pages, as they are being fetched, do not fit together: from which rows on the
    pages begin that repeat others. Written again they repeat nothing, and have moved all the same.
    """

    def note(self, dataset_id: int, page: Page, *, repeats_rows: bool) -> bool:
        """Take note of a page; returns whether its day is to be fetched again.

        Args:
            dataset_id: whose page it is.
            page: the page.
            repeats_rows: whether earlier pages of its day had some of its rows.
        """
        key, start_row = (dataset_id, page.job.data_date.isoformat()), page.job.start_row
        if start_row == 0:
            self._moved_now.pop(key, None)
        elif repeats_rows:
            if key not in self._moved_now:
                self._times[key] += 1
            self._moved_now.setdefault(key, set()).add(start_row)
        return start_row in self._moved_now.get(key, ()) and self._times[key] <= TIMES_AGAIN
