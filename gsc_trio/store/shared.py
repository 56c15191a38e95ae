"""What a store does beside writing pages, the same in either kind of database.

Each method is one transaction, in the SQL that both kinds understand (`gsc_trio.store.sql`).

Responsible for: which of it makes up a method. Must never: know what the database is.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store import inspections, ledger, quota, runs
from gsc_trio.store.audit import AuditedDay, audit_day, days_with_anything
from gsc_trio.store.base import Coverage, GrantKey, RecordedGrant, RecordedRun, StoredDay
from gsc_trio.store.sql import SqlConnection
from gsc_trio.wire.inspection import Inspection

T = TypeVar("T")


class SharedMethods(ABC):
    """What `gsc_trio.store.database.Database` has but for what concerns pages.

    All raise `gsc_trio.errors.StorageError` if the database cannot do it.
    """

    @abstractmethod
    async def _read(self, work: Callable[[SqlConnection], T]) -> T:
        """Do work in one transaction that sees one state of the database."""

    @abstractmethod
    async def _write(self, work: Callable[[SqlConnection], T]) -> T:
        """Do work in one transaction, all or nothing."""

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        """Every grant that was recorded and not forgotten, by this process or by others."""
        return await self._read(quota.read_grants)

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        """Commit grants, each in the place of what its key had before, and delete others."""
        await self._write(partial(quota.write_grants, grants=grants, forget=forget))

    async def coverage(self) -> Sequence[Coverage]:
        """What is stored of each dataset, whatever its data state.

        ``rows`` is what the ledger says that the pages brought; counting would read the whole
        database. A row that Google gave on two pages of a day counts twice there.
        """
        return await self._read(ledger.read_coverage)

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The days of which there is anything, as `begin_run` gives them."""

        def work(connection: SqlConnection) -> Mapping[dt.date, StoredDay]:
            dataset_id = ledger.find_dataset(connection, query)
            if dataset_id is None:
                return {}
            return ledger.stored_days(
                connection, dataset_id, data_state=query.data_state, start=start, end=end
            )

        return await self._read(work)

    async def days_with_anything(self, query: SearchAnalyticsQuery) -> Sequence[dt.date]:
        """The days that a query's ledger or its rows have, oldest first."""

        def work(connection: SqlConnection) -> Sequence[dt.date]:
            dataset_id = ledger.find_dataset(connection, query)
            if dataset_id is None:
                return []
            return days_with_anything(connection, dataset_id, query.dimensions)

        return await self._read(work)

    async def audit(
        self, query: SearchAnalyticsQuery, days: Collection[dt.date]
    ) -> Sequence[AuditedDay]:
        """Count some days: their rows, and what the ledger says of them."""

        def work(connection: SqlConnection) -> Sequence[AuditedDay]:
            dataset_id = ledger.find_dataset(connection, query)
            if dataset_id is None:
                return []
            return [audit_day(connection, dataset_id, query.dimensions, day) for day in days]

        return await self._read(work)

    async def doubt(self, query: SearchAnalyticsQuery, days: Collection[dt.date]) -> None:
        """Let days count as not final: they keep their rows, and the next sync replaces them."""

        def work(connection: SqlConnection) -> None:
            dataset_id = ledger.find_dataset(connection, query)
            if dataset_id is not None:
                ledger.doubt_days(connection, dataset_id, days)

        await self._write(work)

    async def write_inspection(self, inspection: Inspection) -> None:
        """Commit an inspection of a URL."""
        await self._write(partial(inspections.write_inspection, inspection=inspection))

    async def last_inspections(self, site_url: str) -> Mapping[str, dt.datetime]:
        """When each URL of a property was last inspected, in UTC."""
        return await self._read(partial(inspections.last_inspections, site_url=site_url))

    async def count_inspections(self, site_url: str, since: dt.datetime) -> int:
        """How many inspections of a property there were since a time."""
        count = partial(inspections.count_inspections, site_url=site_url, since=since)
        return await self._read(count)

    async def record_run(self, run: RecordedRun) -> int:
        """Remember a run that is over; returns its number. The oldest runs are forgotten."""
        return await self._write(partial(runs.write_run, run=run))

    async def runs(self) -> Sequence[RecordedRun]:
        """The runs that are remembered, the latest first, without their records."""
        return await self._read(runs.read_runs)

    async def run(self, number: int | None = None) -> RecordedRun | None:
        """A run with its record, by default the latest; None if it is not there."""
        return await self._read(partial(runs.read_run, number=number))
