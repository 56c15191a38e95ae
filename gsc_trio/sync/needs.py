"""What a target lacks: days to fetch, and those among them that take the place of others.

Data is final after two or three days. A day that was fetched earlier, with data state ``all``, is
marked so in the ledger; once it is sure to be final it is fetched again. Until then each sync
fetches it anew, if the target wants such days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import attrs

from gsc_trio.dates import last_final_day, oldest_day, oldest_hourly_day
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.paginator import days_backwards
from gsc_trio.report.keep import RecordStore
from gsc_trio.store.base import Store
from gsc_trio.sync.targets import SyncTarget


class SyncStore(Store, RecordStore, Protocol):
    """A store that can also say what is there; a `gsc_trio.store.database.Database` is one."""

    async def days_with_anything(self, query: SearchAnalyticsQuery) -> Sequence[dt.date]:
        """The days that a query's ledger or its rows have, oldest first."""


@attrs.frozen
class Needs:
    """What is to be fetched for a target."""

    missing: AbstractSet[dt.date]
    """Final days that are absent or not complete."""
    outdated: AbstractSet[dt.date]
    """Days that are final now and were not when they were fetched."""
    fresh: AbstractSet[dt.date]
    """Days that are not final yet, and are wanted nevertheless."""

    @property
    def days(self) -> AbstractSet[dt.date]:
        """All of them."""
        return self.missing | self.outdated | self.fresh


async def needs_of(store: SyncStore, target: SyncTarget, today: dt.date) -> Needs:
    """Compare what is stored with what is to be there.

    Args:
        store: the database.
        target: what is to be there.
        today: the current date in Pacific time.

    Raises:
        StorageError: the database cannot be read.
    """
    last = last_final_day(today)
    if target.query.is_hourly:
        return await _hours(store, target, today)
    start = await _first_day(store, target, today)
    final = attrs.evolve(target.query, data_state="final")
    with_fresh = attrs.evolve(target.query, data_state="all")
    stored_final = await store.stored_days(final, start, today)
    stored = await store.stored_days(with_fresh, start, today)
    complete = {day for day, there in stored_final.items() if there.is_complete}
    outdated = {day for day in stored if day not in stored_final and day <= last}
    wanted = set(days_backwards(start, last))
    fresh: set[dt.date] = set()
    if target.query.data_state == "all":
        fresh = set(days_backwards(max(start, last + dt.timedelta(days=1)), today)) - complete
    return Needs(wanted - complete - outdated, outdated, fresh)


async def _hours(store: SyncStore, target: SyncTarget, today: dt.date) -> Needs:
    """By the hour nothing is ever final: the last days are fetched anew each time."""
    start = max(await _first_day(store, target, today), oldest_hourly_day(today))
    stored = await store.stored_days(target.query, start, today)
    complete = {day for day, there in stored.items() if there.is_complete}
    fresh = set(days_backwards(max(start, last_final_day(today)), today))
    return Needs(set(days_backwards(start, today)) - complete - fresh, frozenset(), fresh)


async def _first_day(store: SyncStore, target: SyncTarget, today: dt.date) -> dt.date:
    oldest = oldest_day(today)
    if target.days is not None:
        start = last_final_day(today) - dt.timedelta(days=target.days - 1)
    elif target.start is not None:
        start = target.start
    else:
        start = next(iter(await store.days_with_anything(target.query)), oldest)
    return max(start, oldest)
