"""What commands need of a database beyond what a run needs: it also tells what it holds.

`gsc_trio.store.sqlite` and `gsc_trio.store.postgres` have it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.audit import AuditedDay
from gsc_trio.store.base import Coverage, RecordedRun, Store, StoredDay
from gsc_trio.wire.inspection import Inspection


class Database(Store, Protocol):
    """A store that can also tell what it holds, as commands need it.

    All raise `gsc_trio.errors.StorageError` if the database cannot be read or written.
    """

    async def coverage(self) -> Sequence[Coverage]:
        """What is stored of each dataset, whatever its data state.

        ``rows`` is what the ledger says that the pages brought; counting would read the whole
        database. A row that Google gave on two pages of a day counts twice there.
        """

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The days of which there is anything, as `begin_run` gives them."""

    async def days_with_anything(self, query: SearchAnalyticsQuery) -> Sequence[dt.date]:
        """The days that a query's ledger or its rows have, oldest first."""

    async def audit(
        self, query: SearchAnalyticsQuery, days: Collection[dt.date]
    ) -> Sequence[AuditedDay]:
        """Count some days: their rows, and what the ledger says of them."""

    async def doubt(self, query: SearchAnalyticsQuery, days: Collection[dt.date]) -> None:
        """Let days count as missing for a ``final`` query, so that they are fetched again."""

    async def write_inspection(self, inspection: Inspection) -> None:
        """Commit an inspection of a URL."""

    async def last_inspections(self, site_url: str) -> Mapping[str, dt.datetime]:
        """When each URL of a property was last inspected, in UTC."""

    async def count_inspections(self, site_url: str, since: dt.datetime) -> int:
        """How many inspections of a property there were since a time."""

    async def record_run(self, run: RecordedRun) -> int:
        """Remember a run that is over; returns its number. The oldest runs are forgotten."""

    async def runs(self) -> Sequence[RecordedRun]:
        """The runs that are remembered, the latest first, without their records."""

    async def run(self, number: int | None = None) -> RecordedRun | None:
        """A run with its record, by default the latest; None if it is not there."""
