"""A store in which chosen days are replaced all at once: a day has its old rows or all of the new.

A page takes the place of what its day had from its first row on, and is committed by itself; a day
of several pages would have the first of its new pages only, for a while, and for long after a
crash. So the pages of such a day wait here in memory until its last one has come, and go into one
transaction. If it never comes, the day stays what it was.

A page that waits is told as committed although its day is not yet: what a run that is stopped says
it has written may be too much by those, and the next run fetches them again.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

import attrs

from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.paginator import days_backwards
from gsc_trio.store.base import GrantKey, RecordedGrant, Store, StoredDay

AT_ONCE = 4
"""So many days may be replaced in a run: of each, up to two full pages wait, about 20 MB."""


@attrs.define(eq=False)
class WholeDays:
    """A store over another one, for a run that fetches some days.

    Args:
        store: where everything is kept.
        days: the days to fetch; all others count as stored.
        replaced: those among them that are replaced as a whole, whatever is there of them.
    """

    store: Store
    days: AbstractSet[dt.date]
    replaced: AbstractSet[dt.date]
    _waiting: dict[dt.date, list[Page]] = attrs.field(factory=lambda: defaultdict(list), init=False)

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """What is there of the days, as far as the run is to know."""
        stored = await self.store.begin_run(query, start, end)
        known: dict[dt.date, StoredDay] = {}
        for day in days_backwards(start, end):
            there = stored.get(day)
            if day not in self.days:
                is_there = there is not None and there.is_complete
                # Not 0 rows: an empty day would count towards `empty_result_limit`.
                known[day] = there if there and is_there else StoredDay(1, is_complete=True)
            elif there is not None and day not in self.replaced:
                known[day] = there
        return known

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> Collection[dt.date] | None:
        """Commit pages, those of a day to be replaced once its last one is among them."""
        ready: list[Page] = []
        for page in pages:
            day = page.job.data_date
            if day not in self.replaced:
                ready.append(page)
                continue
            self._waiting[day].append(page)
            if not page.is_full:
                ready += self._waiting.pop(day)
        if ready:
            return await self.store.write_pages(query, ready, changes)
        await self.store.record_in_flight(query, changes)
        return None

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Commit what became of the in-flight registry."""
        await self.store.record_in_flight(query, changes)

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        """Every grant that was recorded and not forgotten."""
        return await self.store.recent_grants()

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        """Commit grants, and delete others."""
        await self.store.record_grants(grants, forget=forget)
