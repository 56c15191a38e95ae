"""The store in Postgres: what `gsc_trio.store.base` promises, for many processes at once.

How it works. A store has one session, and one thread at a time works with it, behind a limiter of
one: psycopg's own async side knows no trio. Each method is one transaction. The tables, views and
partitions that it needs are made before it begins (`gsc_trio.store.postgres.schema`).

Many processes may write to one database, each its own datasets. Who writes to a dataset is kept
apart from others in one of two ways: by an advisory lock that lasts as long as the session, or, for
workers that take over from each other, by a fence (`gsc_trio.store.postgres.leases`).

Responsible for: which SQL makes up a method, and which datasets are its own.
Must never: abandon a thread that is at work (a cancelled write has happened or has not); one that
only waits for its turn is told to end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from gsc_trio.errors import DatabaseInUseError
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.base import StoredDay
from gsc_trio.store.days import Identity, identity_of
from gsc_trio.store.ledger import clear_in_flight, stored_days
from gsc_trio.store.moved_days import MovedDays, state_of
from gsc_trio.store.open_days import OpenDays
from gsc_trio.store.postgres import ledger
from gsc_trio.store.postgres.address import read_address
from gsc_trio.store.postgres.leases import Fence, check_fence
from gsc_trio.store.postgres.locks import hold_dataset, hold_lease, wait_for_dataset
from gsc_trio.store.postgres.rows import EncodedRows, encode_in_steps, replace_rows
from gsc_trio.store.postgres.schema import Partition, check_schema, create_dataset, migrate
from gsc_trio.store.postgres.session import Connection, Session, Work
from gsc_trio.store.postgres.sql import SharedSql
from gsc_trio.store.preparing import at_once, page_in_steps
from gsc_trio.store.shared import SharedMethods
from gsc_trio.store.sql import SqlConnection

T = TypeVar("T")


@asynccontextmanager
async def open_postgres_store(
    dsn: str, *, read_only: bool = False, fence: Fence | None = None
) -> AsyncIterator[PostgresStore]:
    """Open a Postgres database, making its tables if they are not there, and close it at the end.

    ::

        async with open_postgres_store("postgresql://gsc@db.example/search") as store:
            summary = await backfill(client, query, store, start=start, end=end)

    Args:
        dsn: the database's address, as libpq takes it. The database itself must be there; tables
            are made in the schema that comes first in its ``search_path``.
        read_only: change nothing; only what reads works then.
        fence: the lease under which everything is written. Without one, a dataset that another
            session writes to is refused.

    Raises:
        UsageError: it is no address, or not a database to use. Nothing was changed.
        StorageError: the server cannot be reached, or does not let the user in.
    """
    store = PostgresStore(dsn, read_only=read_only, fence=fence)
    await store.open()
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await store.close()


class PostgresStore(SharedMethods):
    """A `gsc_trio.store.database.Database` in Postgres; `open_postgres_store` makes it.

    Methods may be called from several tasks; they take their turns. Each is all or nothing, also
    when it is cancelled, and all raise `StorageError` if Postgres cannot do it, or `FencedError` if
    somebody took the shard over. After that the store is as before, and usable again once the cause
    is gone: a connection that was lost is made anew.
    """

    def __init__(self, dsn: str, *, read_only: bool, fence: Fence | None) -> None:
        self.address = read_address(dsn)
        """Where it is, as it may be shown."""
        self._read_only = read_only
        self._fence = fence
        self._limiter = trio.CapacityLimiter(1)
        self._session = Session(
            self.address,
            read_only=read_only,
            on_connect=self._on_connect,
            on_begin=self._on_begin,
        )
        self._open_days = OpenDays()
        self._moved_days = MovedDays()
        self._forget()

    async def open(self) -> None:
        """Connect; the tables are there afterwards."""
        await self._run_in_thread(self._session.open)

    async def close(self) -> None:
        """End the session."""
        await self._run_in_thread(self._session.close)

    async def hold(self, queries: Collection[SearchAnalyticsQuery], *, wait: bool = False) -> None:
        """Keep others from writing to these queries' datasets, before anything is written.

        Whoever is cancelled while waiting does not wait any longer, but may have some of them until
        the store is closed.

        Args:
            queries: whose data it is.
            wait: when another session writes to one, wait until that ends.

        Raises:
            DatabaseInUseError: another session does, and ``wait`` is not set.
            StorageError: the database cannot be read or written.
        """
        is_cancelled = False

        def ahead(connection: Connection) -> None:
            for query in queries:
                self._create_dataset(connection, query)
            # All in the same order, so that two who wait never wait for each other.
            for query in sorted(queries, key=lambda query: self._dataset_ids[identity_of(query)]):
                self._hold(connection, query, does_wait=lambda: wait and not is_cancelled)

        def in_thread() -> None:
            self._transact_in_thread(lambda connection: None, "write", ahead)

        try:
            await trio.to_thread.run_sync(in_thread, limiter=self._limiter, abandon_on_cancel=wait)
        except trio.Cancelled:
            is_cancelled = True
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._session.interrupt)
            raise

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """Forget what an earlier run left in flight, and say what is there.

        Args:
            query: whose data it is.
            start: the first day.
            end: the last day, included.

        Returns:
            The days of which there is anything. A day of which a page was fetched with data state
            ``all`` is not among them if the query's is ``final``.

        Raises:
            StorageError: the database cannot be read or written.
        """

        def work(connection: Connection, dataset_id: int) -> Mapping[dt.date, StoredDay]:
            shared = SharedSql(connection)
            clear_in_flight(shared, dataset_id)
            return stored_days(
                shared, dataset_id, data_state=query.data_state, start=start, end=end
            )

        return await self._write_dataset(query, work)

    def prepare_in_steps(self, query: SearchAnalyticsQuery, page: Page) -> Iterator[Page | None]:
        """Do what needs no database: see `gsc_trio.store.base.PreparesPages`."""
        dataset_id = self._dataset_ids.get(identity_of(query))
        steps = iter(()) if dataset_id is None else _encode_in_steps(dataset_id, query, page)
        return page_in_steps(page, steps)

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> Collection[dt.date]:
        """Commit pages with their ledger entries; their jobs leave the in-flight registry.

        Args:
            query: whose pages they are.
            pages: in order. Each takes the place of what the day has from its first row on, and of
                the day's earlier rows that it repeats.
            changes: what else became of the registry.

        Returns:
            The days that are to be fetched again; see `gsc_trio.store.moved_days`.

        Raises:
            StorageError: nothing was written, or, where it says so, it is not known. Writing them
                again does no harm.
        """

        def work(connection: Connection, dataset_id: int) -> Collection[dt.date]:
            moved = {
                page.job.data_date
                for page in pages
                if self._write_page(connection, dataset_id, query, page)
            }
            ledger.apply_changes(connection, dataset_id, changes)
            # Last, since the changes may name these pages' jobs too, as taken.
            ledger.remove_jobs(connection, dataset_id, tuple(page.job for page in pages))
            return moved

        return await self._write_dataset(query, work, days={page.job.data_date for page in pages})

    def _write_page(
        self, connection: Connection, dataset_id: int, query: SearchAnalyticsQuery, page: Page
    ) -> bool:
        """Returns whether the page's day is to be fetched again."""
        day, rows = page.job.data_date, page.prepared
        # The number of a dataset is another one if the database was restored meanwhile.
        if not isinstance(rows, EncodedRows) or rows.dataset_id != dataset_id:
            rows = at_once(_encode_in_steps(dataset_id, query, page))
        rows_repeated = replace_rows(
            connection,
            query.dimensions,
            day,
            page.job.start_row,
            rows,
            may_repeat=self._open_days.note(dataset_id, day.isoformat(), page, rows.hashes),
        )
        has_moved = self._moved_days.note(dataset_id, page, repeats_rows=rows_repeated > 0)
        data_state = state_of(query.data_state, has_moved=has_moved)
        ledger.record_page(connection, dataset_id, page, data_state)
        return has_moved

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Commit what became of the in-flight registry when there is no page to write it with."""

        def work(connection: Connection, dataset_id: int) -> None:
            ledger.apply_changes(connection, dataset_id, changes)

        await self._write_dataset(query, work)

    async def _read(self, work: Callable[[SqlConnection], T]) -> T:
        return await self._transact(lambda connection: work(SharedSql(connection)), "read")

    async def _write(self, work: Callable[[SqlConnection], T]) -> T:
        return await self._transact(lambda connection: work(SharedSql(connection)), "write")

    async def _write_dataset(
        self,
        query: SearchAnalyticsQuery,
        work: Callable[[Connection, int], T],
        *,
        days: Iterable[dt.date] = (),
    ) -> T:
        identity = identity_of(query)

        def ahead(connection: Connection) -> None:
            self._create_dataset(connection, query)
            for partition in {Partition.of(query.dimensions, day) for day in days}:
                if partition not in self._partitions:
                    partition.create(connection)
                    self._partitions.add(partition)

        def on_dataset(connection: Connection) -> T:
            self._hold(connection, query)
            return work(connection, self._dataset_ids[identity])

        return await self._transact(on_dataset, "write", ahead=ahead)

    def _create_dataset(self, connection: Connection, query: SearchAnalyticsQuery) -> None:
        identity = identity_of(query)
        if identity not in self._dataset_ids:
            self._dataset_ids[identity] = create_dataset(connection, query)

    def _hold(
        self,
        connection: Connection,
        query: SearchAnalyticsQuery,
        *,
        does_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make sure that nobody else writes to a query's dataset."""
        dataset_id = self._dataset_ids[identity_of(query)]
        if self._fence is not None or dataset_id in self._held:
            return
        while does_wait():
            if wait_for_dataset(connection, dataset_id):
                self._held.add(dataset_id)
                return
        holder = hold_dataset(connection, dataset_id)
        if holder is not None:
            raise DatabaseInUseError(
                f"{query.site_url} in {self.address} is in use by {holder}: let that end first"
            )
        self._held.add(dataset_id)

    async def _transact(
        self,
        work: Work[T],
        action: str,
        *,
        ahead: Callable[[Connection], None] | None = None,
    ) -> T:
        return await self._run_in_thread(lambda: self._transact_in_thread(work, action, ahead))

    def _transact_in_thread(
        self, work: Work[T], action: str, ahead: Callable[[Connection], None] | None
    ) -> T:
        try:
            return self._session.transact(work, action, ahead=ahead)
        except BaseException:
            self._forget_schema()
            raise

    def _on_connect(self, connection: Connection) -> None:
        self._forget()
        check_schema(connection, self.address, read_only=self._read_only)
        if not self._read_only:
            migrate(connection, self.address)
            if self._fence is not None:
                hold_lease(connection, self._fence.shard)

    def _on_begin(self, connection: Connection) -> None:
        if self._fence is not None:
            check_fence(connection, self._fence)

    def _forget(self) -> None:
        self._held: set[int] = set()
        """Datasets whose lock this session has."""
        self._forget_schema()

    def _forget_schema(self) -> None:
        """Somebody may have removed a partition, or the server may have been restored."""
        self._dataset_ids: dict[Identity, int] = {}
        self._partitions: set[Partition] = set()

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _encode_in_steps(
    dataset_id: int, query: SearchAnalyticsQuery, page: Page
) -> Iterator[EncodedRows | None]:
    job, width = page.job, len(query.dimensions)
    return encode_in_steps(dataset_id, job.data_date, job.start_row, page.rows, width)
