"""The database as one shard sees it: its own queries, and the news that it was taken over.

Many shards write to one database and to one journal of queries that were sent. A shard takes
permits only for what concerns it: what its user sent, and what anybody sent about its properties.

What another machine sent, and when, that machine's clock told, and clocks differ. So a query that
another machine wrote down counts as on its way until now, which is never too late: after a
take-over at most one window is waited out, and only as far as its permits were used. What is older
than any clock is wrong is over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager

import attrs

from gsc_trio.errors import FencedError, StorageError
from gsc_trio.machine_clock import Moment, machine_moment
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.base import GrantKey, RecordedGrant, RecordedRun, StoredDay
from gsc_trio.store.database import Database

CLOCKS_AGREE_SECONDS = 600.0
"""Machines whose clocks are further apart than this have other problems."""


@attrs.define(eq=False)
class ShardStore:
    """A store for the run of one shard.

    Args:
        store: the database, opened with the shard's fence.
        user: whose quota the shard spends.
        sites: its properties.
    """

    store: Database
    user: str
    sites: AbstractSet[str]
    error: StorageError | None = attrs.field(default=None, init=False)
    """What the database failed with, if it did."""

    @property
    def is_taken_over(self) -> bool:
        """Whether another process has the shard now."""
        return isinstance(self.error, FencedError)

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """Forget what an earlier run left in flight, and say what is there."""
        with self._noting():
            return await self.store.begin_run(query, start, end)

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The days of which there is anything."""
        with self._noting():
            return await self.store.stored_days(query, start, end)

    async def days_with_anything(self, query: SearchAnalyticsQuery) -> Sequence[dt.date]:
        """The days of which there is anything, oldest first."""
        with self._noting():
            return await self.store.days_with_anything(query)

    async def record_run(self, run: RecordedRun) -> int:
        """Remember a run that is over."""
        with self._noting():
            return await self.store.record_run(run)

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> None:
        """Commit pages with their ledger entries, if the shard is still this process's."""
        with self._noting():
            await self.store.write_pages(query, pages, changes)

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Commit what became of the in-flight registry."""
        with self._noting():
            await self.store.record_in_flight(query, changes)

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        """The grants that concern this shard, as far as this machine can date them."""
        with self._noting():
            grants = await self.store.recent_grants()
        own = (each for each in grants if each.user == self.user or each.site_url in self.sites)
        return list(as_dated_here(own, machine_moment()))

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        """Commit grants; so nothing is sent by a process that the shard was taken from."""
        with self._noting():
            await self.store.record_grants(grants, forget=forget)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self.error = self.error or error
            raise


def as_dated_here(grants: Iterable[RecordedGrant], now: Moment) -> Iterator[RecordedGrant]:
    """Grants without the times that another machine told, unless they are long over."""
    for grant in grants:
        answered = grant.answered
        is_of_here = bool(now.boot) and grant.sent.boot == now.boot
        if answered is None or is_of_here or answered.seconds_until(now) > CLOCKS_AGREE_SECONDS:
            yield grant
        else:
            yield attrs.evolve(grant, answered=None)
