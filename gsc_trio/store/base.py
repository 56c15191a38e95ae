"""What a run needs of a database; `gsc_trio.store.sqlite` is the one that comes with the package.

A data engineer brings another by writing a class with these methods. What every store must keep:

1. `write_pages` is one transaction: the pages' rows, their ledger entries, and the registry's
   changes are committed together or not at all, durably, before it returns. What it leaves does
   not depend on which pages came together.
2. It is idempotent: the same page written twice leaves what one write leaves. A day's first page
   (``start_row`` 0) replaces whatever the day held before.
3. Queries that differ in site, search type, dimensions, filters or type of aggregation never share
   rows. ``data_state`` is no part of that identity: days fetched as ``all`` may not be final, so
   for a ``final`` query they count as missing, while for an ``all`` query days fetched as ``final``
   count as present.
4. A day whose pages repeat rows of each other counts as missing for a ``final`` query, until it was
   fetched again; see `gsc_trio.store.moved_days`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import attrs

from gsc_trio.filters import DimensionFilter
from gsc_trio.machine_clock import Moment
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery


@attrs.frozen
class StoredDay:
    """What the ledger says of one day of one query."""

    rows: int
    """How many rows its pages brought; the ``start_row`` that the next page would have."""
    is_complete: bool
    """Whether its last page was not a full one."""


@attrs.frozen
class Coverage:
    """What is stored of one dataset."""

    site_url: str
    search_type: str
    dimensions: tuple[str, ...]
    days_complete: int
    days_missing: int
    """Days between the first and the last that are absent or not complete."""
    rows: int
    first_day: dt.date | None
    last_day: dt.date | None
    in_flight: int
    """Jobs that were in flight when the database was last written to."""
    in_flight_since: dt.datetime | None
    """When the oldest of them was taken, in UTC."""
    aggregation_type: str = "auto"
    filters: tuple[DimensionFilter, ...] = ()


@attrs.frozen
class GrantKey:
    """What a grant is known by, in all processes."""

    limiter: str
    """The identity of the rate limiter that gave it."""
    number: int
    """Its number there."""


@attrs.frozen
class RecordedGrant:
    """Queries that were sent, or were about to be."""

    key: GrantKey
    user: str
    site_url: str
    queries: int
    sent: Moment
    answered: Moment | None = None
    """When the last of them was answered; None as long as that is not known."""


@attrs.frozen
class RecordedRun:
    """A run that is over, as it is remembered; `gsc_trio.report` makes the record."""

    site_url: str
    search_type: str
    dimensions: tuple[str, ...]
    status: str
    started_at: dt.datetime
    """In UTC."""
    duration_seconds: float
    record: str = attrs.field(repr=False)
    """Everything else, as JSON."""
    number: int = 0
    """Which run it is of those of this database, from 1 on; 0 before it is stored."""


class Store(Protocol):
    """Where pages go."""

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """Forget what an earlier run left in flight, and say what is there.

        Returns:
            The days from start to end, inclusive, of which there is anything.
        """

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> Collection[dt.date] | None:
        """Commit pages with their ledger entries; their jobs leave the in-flight registry.

        Returns:
            The days that are to be fetched again from their first row on, since rows moved from
            page to page meanwhile; None if the store does not look.
        """

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Commit what became of the in-flight registry when there is no page to write it with."""

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        """Every grant that was recorded and not forgotten, by this process or by others."""

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        """Commit grants, each in the place of what its key had before, and delete others."""


@runtime_checkable
class PreparesPages(Protocol):
    """A store that can do a part of a page's work before its turn, while another is written."""

    def prepare_in_steps(self, query: SearchAnalyticsQuery, page: Page) -> Iterator[Page | None]:
        """Make of a page's rows what it takes to write them, a little at a time.

        It is called on the event loop, and others run between its steps, which should take no more
        than a millisecond or two each. Whatever is wrong with the rows is told by `write_pages`,
        which takes pages that were prepared, and others.

        Args:
            query: whose page it is.
            page: the page.

        Returns:
            None after each step, and at last the page, with something in `Page.prepared`.
        """


class NoStore:
    """A store that keeps nothing, for runs whose callbacks take the pages."""

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """Nothing is there."""
        return {}

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> Collection[dt.date] | None:
        """Keep nothing."""

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Keep nothing."""

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        """Nothing is known."""
        return ()

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        """Keep nothing."""
