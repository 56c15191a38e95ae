"""A store that leaves Parquet files: ``backfill --store parquet`` writes straight to a folder.

How it works. The folder has what `gsc_trio.export.parquet_folder` writes, and beside it, in
``_gsc_trio/ledger.db``, an ordinary database of this package: the ledger, the in-flight registry
and the quota journal, and the rows of days that are not published yet. A page is committed there,
with its ledger entry, as in any other database. When that completes a day, the day is published:
its file is written whole, and only then do its rows leave the database.

1. The truth about what is done is in the ledger alone. So nothing is promised twice, and readers of
   the folder see a day as it was or as it is, never a part of it.
2. A file says of which version of its day it was made. A complete day whose file is of another
   version is not published: after a crash it is published again from the rows that are still there.
   If there are none, somebody removed or changed the file, and the day is fetched again.
3. Publishing a day twice does no harm, so there is nothing to undo whenever a process dies.

Responsible for: when a day is published, and what a folder must look like to be written to.
Must never: delete a day's rows before its file is on the disk under its name.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from gsc_trio.errors import UsageError
from gsc_trio.export.dataset import Dataset, DayContent, read_datasets, read_day, read_days
from gsc_trio.export.extras import load
from gsc_trio.export.parquet_folder import check_names, path_of, read_file, version_of, write_day
from gsc_trio.export.target import LEDGER, OWN_FOLDER, check_parent, clear_errors
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store import ledger
from gsc_trio.store.base import StoredDay
from gsc_trio.store.checkpoints import Checkpoints
from gsc_trio.store.schema import column_of
from gsc_trio.store.sqlite import SqliteStore, open_store_of
from gsc_trio.whole_files import make_folders

T = TypeVar("T")


def ledger_of(folder: Path) -> Path:
    """The database in a folder that such a store writes to."""
    return folder / OWN_FOLDER / LEDGER


@asynccontextmanager
async def open_parquet_store(
    folder: str | os.PathLike[str], *, wait: bool = False
) -> AsyncIterator[ParquetStore]:
    """Open a folder to write days to, making it if it is not there.

    Only one store at a time can write to it. Reading is always possible, by whatever reads Parquet.

    ::

        async with open_parquet_store("search-console") as store:
            summary = await backfill(client, query, store, start=start, end=end)

    Args:
        folder: the folder; an empty one is taken for a new one.
        wait: when another store writes to it, wait until that is closed.

    Raises:
        UsageError: it cannot be made or written, or holds something else; or pyarrow is not
            installed. Nothing was changed.
        DatabaseInUseError: another store writes to it, and ``wait`` is not set.
        StorageError: its ledger is damaged, or days cannot be published.
    """
    root = Path(folder)
    load("pyarrow.parquet", "a folder of Parquet files")
    await trio.to_thread.run_sync(_prepare, root)
    async with open_store_of(ParquetStore, ledger_of(root), wait=wait) as store:
        await store.publish_what_is_left()
        yield store


def _prepare(root: Path) -> None:
    check_parent(root)
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file: name a folder for Parquet files")
    if not ledger_of(root).exists() and root.exists() and set(os.listdir(root)) - {OWN_FOLDER}:
        raise UsageError(f"{root} holds files that no backfill wrote there: name another folder")
    try:
        make_folders(root / OWN_FOLDER)
    except OSError as error:
        raise UsageError(f"{root} cannot be made: {error.strerror}") from None


class ParquetStore(SqliteStore):
    """A `gsc_trio.store.base.Store` in a folder; `open_parquet_store` makes it.

    What `SqliteStore` promises of its methods holds here, too. If `write_pages` raises while it
    publishes a day, the pages are committed all the same: the next run publishes it.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        limiter: trio.CapacityLimiter,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        super().__init__(path, connection, limiter, checkpoints)
        self.root = path.parent.parent
        """The folder."""
        self._datasets: dict[Dataset, Dataset] = {}
        # They are written under one name, before they have their own.
        self._one_file_at_a_time = trio.Lock()

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """Forget what an earlier run left in flight, and say what is there.

        A day whose file was removed or changed is forgotten, too.

        Args and errors are those of `SqliteStore.begin_run`.

        Raises:
            UsageError: no folder can be named after the property.
        """
        check_names(Dataset.of_query(query))
        stored = dict(await super().begin_run(query, start, end))
        dataset = await self._dataset(query)
        complete = {day for day, what in stored.items() if what.is_complete}
        unpublished = complete - await self._published(dataset, start, end)
        with_rows = await self._days_with_rows(dataset)
        await self._publish(
            dataset, [day for day in unpublished if day in with_rows or not stored[day].rows]
        )
        lost = [day for day in unpublished if day not in with_rows and stored[day].rows]
        await self._forget(dataset, lost)
        return {day: what for day, what in stored.items() if day not in lost}

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """What is there; a complete day without its file is not.

        Args and errors are those of `SqliteStore.stored_days`.
        """
        stored = dict(await super().stored_days(query, start, end))
        if not stored:
            return stored
        published = await self._published(await self._dataset(query), start, end)
        return {
            day: what for day, what in stored.items() if day in published or not what.is_complete
        }

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> Collection[dt.date]:
        """Commit pages with their ledger entries, then publish the days that they complete."""
        dataset = await self._dataset(query)
        for day in sorted({page.job.data_date for page in pages if page.job.start_row}):
            await self._take_back(dataset, day)
        moved = await super().write_pages(query, pages, changes)
        # Who is cancelled meanwhile shall hear all the same that the pages are written.
        with trio.CancelScope(shield=True):
            await self._publish(dataset, {page.job.data_date for page in pages})
        return moved

    async def publish_what_is_left(self) -> None:
        """Publish the days that were complete when a process died."""
        for dataset in await self._with_connection(read_datasets, "read"):
            await self._publish(dataset, await self._days_with_rows(dataset))

    async def _publish(self, dataset: Dataset, days: Iterable[dt.date]) -> None:
        """Write the files of those days that are complete; the database has all their rows."""
        published = []
        for day in sorted(days, reverse=True):
            read = partial(read_day, dataset=dataset, day=day)
            content = await self._with_connection(read, "read")
            if content is not None:
                async with self._one_file_at_a_time:
                    await trio.to_thread.run_sync(self._write_file, dataset, day, content)
                published.append(day)
        if published:
            await self._with_connection(partial(delete_days, dataset, published))

    def _write_file(self, dataset: Dataset, day: dt.date, content: DayContent) -> None:
        with clear_errors(self.root):
            write_day(self.root, dataset, day, content)

    async def _take_back(self, dataset: Dataset, day: dt.date) -> None:
        """Before a page that is not a day's first: see to it that the database has those before it.

        A run goes on with days that are not complete, so there is nothing to take back. Whoever
        writes a page of a published day again would otherwise publish that page as the whole day.
        """
        read = partial(read_days, dataset=dataset, start=day, end=day)
        if day not in (await self._with_connection(read, "read")).versions:
            return
        if day in await self._days_with_rows(dataset):
            return
        if day in await self._published(dataset, day, day):
            path = path_of(self.root, dataset, day)
            content = await trio.to_thread.run_sync(read_file, path)
            insert = partial(insert_day, dataset, day, content)
            await self._with_connection(insert)
        else:
            await self._forget(dataset, [day])

    async def _days_with_rows(self, dataset: Dataset) -> set[dt.date]:
        return await self._with_connection(partial(days_with_rows, dataset), "read")

    async def _published(self, dataset: Dataset, start: dt.date, end: dt.date) -> set[dt.date]:
        """The complete days whose files are as the ledger says."""
        read = partial(read_days, dataset=dataset, start=start, end=end)
        versions = (await self._with_connection(read, "read")).versions

        def look() -> set[dt.date]:
            paths = {day: path_of(self.root, dataset, day) for day in versions}
            return {day for day, path in paths.items() if version_of(path) == versions[day]}

        return await trio.to_thread.run_sync(look)

    async def _forget(self, dataset: Dataset, days: Sequence[dt.date]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for day in days:
                ledger.forget_pages(connection, dataset.id, day.isoformat(), 0)

        await self._with_connection(work)

    async def _with_connection(
        self, work: Callable[[sqlite3.Connection], T], action: str = "write"
    ) -> T:
        return await self._transact(partial(work, self._connection), action)

    async def _dataset(self, query: SearchAnalyticsQuery) -> Dataset:
        key = Dataset.of_query(query)
        if key not in self._datasets:
            ensure = partial(ledger.ensure_dataset, query=query)
            dataset_id = await self._with_connection(ensure)
            self._datasets[key] = Dataset.of_query(query, dataset_id)
        return self._datasets[key]


# What the database has of days that are not published.


def days_with_rows(dataset: Dataset, connection: sqlite3.Connection) -> set[dt.date]:
    """The days of which there are rows."""
    return {
        dt.date.fromisoformat(day)
        for (day,) in connection.execute(
            f"SELECT DISTINCT data_date FROM {dataset.table} WHERE dataset_id = ?",
            (dataset.id,),
        )
    }


def delete_days(dataset: Dataset, days: Sequence[dt.date], connection: sqlite3.Connection) -> None:
    """Delete their rows."""
    connection.executemany(
        f"DELETE FROM {dataset.table} WHERE dataset_id = ? AND data_date = ?",
        [(dataset.id, day.isoformat()) for day in days],
    )


def insert_day(
    dataset: Dataset, day: dt.date, content: DayContent, connection: sqlite3.Connection
) -> None:
    """Put a day's rows back, each with the number that it had."""
    columns = (*map(column_of, dataset.dimensions), "clicks", "impressions", "sum_position")
    connection.executemany(
        f"INSERT INTO {dataset.table} (dataset_id, data_date, row_number, {', '.join(columns)}) "
        f"VALUES (?, ?, ?{', ?' * len(columns)})",
        [
            (dataset.id, day.isoformat(), number, *row)
            for number, row in zip(content.row_numbers, content.rows, strict=True)
        ],
    )
