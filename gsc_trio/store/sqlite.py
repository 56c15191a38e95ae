"""The store that comes with the package: one SQLite file.

How it works. Each method is one transaction, in a thread (`gsc_trio.store.transactions`). The log
is a write-ahead log, which lets others read while a page is written, with ``synchronous=FULL``:
when a commit returns, the page is on the disk.

A page is done when its ledger entry is there, and that comes with the page's rows in the same
transaction; pages that are ready at the same time may share one. So there is nothing to repair
after a crash: what the ledger does not name was never there. A page takes the place of whatever its
day had from its first row on, so writing a day or a page again leaves no row of the older answer
(`gsc_trio.store.rows`).

Responsible for: opening and closing, and which SQL makes up a method.
Must never: decide what is fetched.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import outcome
import trio

from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store import ledger
from gsc_trio.store.base import StoredDay
from gsc_trio.store.checkpoints import Checkpoints
from gsc_trio.store.connection import (
    check_database,
    open_connection,
    open_for_checkpoints,
)
from gsc_trio.store.lock import lock_database, wait_for_database
from gsc_trio.store.moved_days import MovedDays, state_of
from gsc_trio.store.open_days import OpenDays
from gsc_trio.store.preparing import at_once, page_in_steps
from gsc_trio.store.rows import (
    PreparedRows,
    max_variables_of,
    prepare_in_steps,
    replace_rows,
)
from gsc_trio.store.shared import SharedMethods
from gsc_trio.store.sql import SqlConnection
from gsc_trio.store.transactions import SqliteTransactions

T = TypeVar("T")
AnySqliteStore = TypeVar("AnySqliteStore", bound="SqliteStore")


@asynccontextmanager
async def open_sqlite_store(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    read_only: bool = False,
    wait: bool = False,
) -> AsyncIterator[SqliteStore]:
    """Open a database, making it if it is not there, and close it at the end.

    Only one store at a time can write to a database, on this machine and in this process; see
    `gsc_trio.store.lock`. Reading is always possible.

    ::

        async with open_sqlite_store("search.db") as store:
            summary = await backfill(client, query, store, start=start, end=end)

    Args:
        path: the file. An empty file is taken for a new one.
        create: make the database if there is none.
        read_only: change nothing; only what reads works then.
        wait: when another store writes to it, wait until that is closed.

    Raises:
        UsageError: there is nothing to open, it cannot be written, or it is not a database of
            this package or of this version. Nothing was changed.
        DatabaseInUseError: another store writes to it, and ``wait`` is not set.
        StorageError: the database is damaged, or SQLite cannot work with it.
    """
    async with open_store_of(
        SqliteStore, Path(path), create=create, read_only=read_only, wait=wait
    ) as store:
        yield store


@asynccontextmanager
async def open_store_of(
    kind: type[AnySqliteStore],
    file: Path,
    *,
    create: bool = True,
    read_only: bool = False,
    wait: bool = False,
) -> AsyncIterator[AnySqliteStore]:
    """The same, for a store that builds on `SqliteStore`."""
    limiter = trio.CapacityLimiter(1)
    in_thread = partial(trio.to_thread.run_sync, limiter=limiter)
    async with AsyncExitStack() as stack:
        if not read_only:
            # Before there is a lock file, lest one lies beside a file that is not ours.
            await in_thread(partial(check_database, file, create=create, read_only=False))
            lock = await (wait_for_database(file) if wait else in_thread(lock_database, file))
            stack.callback(lock.release)
        connection = await in_thread(
            partial(open_connection, file, create=create, read_only=read_only)
        )
        stack.push_async_callback(_close, partial(in_thread, connection.close))
        checkpoints = None
        if not read_only:
            checkpoints = Checkpoints(await in_thread(partial(open_for_checkpoints, file)))
            stack.push_async_callback(_close, checkpoints.close)
        yield kind(file, connection, limiter, checkpoints)


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    # The last connection ends with a checkpoint, which takes as long as the disk takes; no deadline
    # could cut it short without abandoning the thread.
    with trio.CancelScope(shield=True):
        await close()


class SqliteStore(SqliteTransactions, SharedMethods):
    """A `gsc_trio.store.base.Store` in a SQLite file; `open_sqlite_store` makes it.

    Methods may be called from several tasks; they take their turns. Each is all or nothing, also
    when it is cancelled, and all raise `StorageError` if SQLite cannot do it. After that the
    store is as before, and usable again once the cause is gone.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        limiter: trio.CapacityLimiter,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        super().__init__(path, connection, limiter)
        self._checkpoints = checkpoints
        self._max_variables = max_variables_of(connection)
        self._open_days = OpenDays()
        self._moved_days = MovedDays()

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

        def work() -> Mapping[dt.date, StoredDay]:
            dataset_id = ledger.ensure_dataset(self._connection, query)
            ledger.clear_in_flight(self._connection, dataset_id)
            return ledger.stored_days(
                self._connection, dataset_id, data_state=query.data_state, start=start, end=end
            )

        return await self._transact(work)

    def prepare_in_steps(self, query: SearchAnalyticsQuery, page: Page) -> Iterator[Page | None]:
        """Do what needs no database: see `gsc_trio.store.base.PreparesPages`."""
        return page_in_steps(page, self._prepare_in_steps(query, page))

    def _prepare_in_steps(
        self, query: SearchAnalyticsQuery, page: Page
    ) -> Iterator[PreparedRows | None]:
        return prepare_in_steps(
            page.rows,
            len(query.dimensions),
            page.job.data_date,
            max_variables=self._max_variables,
        )

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
            StorageError: nothing was written.
        """

        def work() -> Collection[dt.date]:
            dataset_id = ledger.ensure_dataset(self._connection, query)
            moved = {
                page.job.data_date for page in pages if self._write_page(dataset_id, query, page)
            }
            ledger.apply_changes(self._connection, dataset_id, changes)
            # Last, since the changes may name these pages' jobs too, as taken.
            ledger.remove_jobs(self._connection, dataset_id, [page.job for page in pages])
            return moved

        async with trio.open_nursery() as nursery:
            if self._checkpoints is not None:
                self._checkpoints.start_if_due(nursery)
            written = await outcome.acapture(self._transact, work)
            # The thread that makes a checkpoint is waited for in any case; who is cancelled
            # meanwhile shall hear all the same that the pages are written.
            nursery.cancel_scope.shield = True
        moved = written.unwrap()
        if self._checkpoints is not None:
            self._checkpoints.note(pages)
        return moved

    def _write_page(self, dataset_id: int, query: SearchAnalyticsQuery, page: Page) -> bool:
        """Returns whether the page's day is to be fetched again."""
        day, start_row = page.job.data_date.isoformat(), page.job.start_row
        rows = page.prepared
        if not isinstance(rows, PreparedRows):
            rows = at_once(self._prepare_in_steps(query, page))
        ledger.forget_pages(self._connection, dataset_id, day, start_row)
        rows_repeated = replace_rows(
            self._connection,
            query.dimensions,
            dataset_id,
            day,
            start_row,
            rows,
            may_repeat=self._open_days.note(dataset_id, day, page, rows.hashes),
        )
        has_moved = self._moved_days.note(dataset_id, page, repeats_rows=rows_repeated > 0)
        data_state = state_of(query.data_state, has_moved=has_moved)
        ledger.record_page(self._connection, dataset_id, page, data_state)
        return has_moved

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Commit what became of the in-flight registry when there is no page to write it with.

        Raises:
            StorageError: nothing was written.
        """

        def work() -> None:
            dataset_id = ledger.ensure_dataset(self._connection, query)
            ledger.apply_changes(self._connection, dataset_id, changes)

        await self._transact(work)

    async def _read(self, work: Callable[[SqlConnection], T]) -> T:
        return await self._transact(partial(work, self._connection), "read")

    async def _write(self, work: Callable[[SqlConnection], T]) -> T:
        return await self._transact(partial(work, self._connection))
