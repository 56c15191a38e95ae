"""What pages do to an SQLite file; what every store promises of them is in `test_contract`."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from gsc_trio.config import Settings
from gsc_trio.errors import StorageError
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.connection import BUSY_TIMEOUT_SECONDS
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store
from tests.store.databases import Reader

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()


def queries_of(reader: Reader) -> list[str]:
    found = reader.execute("SELECT query FROM search_analytics_by_query ORDER BY query").fetchall()
    return [text for (text,) in found]


async def test_text_with_a_nul_character_is_stored_as_it_is(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader
) -> None:
    texts = ["null\0", "null\0inside"]
    await store.write_pages(query, [make_page(1, rows=texts)], NO_CHANGES)
    assert queries_of(reader) == texts


async def test_a_connection_with_few_variables_takes_large_pages_too(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    store._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 20)
    store._max_variables = 20  # as it was when the database was opened
    rows = [f"{index:03d}" for index in range(100)]
    await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)
    assert queries_of(reader) == rows


async def test_a_killed_process_leaves_nothing_of_the_page_it_was_writing(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_sqlite_store(path) as store:
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    before = comparable_dump(path)
    program = """if True:
        import datetime as dt, os, signal, sys, trio
        from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
        from gsc_trio.store.sqlite import open_sqlite_store

        async def main():
            query = SearchAnalyticsQuery("sc-domain:example.com", dimensions=("query",))
            rows = [Row((f"{index}",)) for index in range(25_000)]
            page = Page(Job(dt.date(2024, 1, 1)), rows, 25_000, 1)
            async with open_sqlite_store(sys.argv[1]) as store:
                connection = store._connection
                connection.execute("PRAGMA cache_size = 1")  # so that much is in the log already
                connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
                connection.execute(
                    "CREATE TEMP TRIGGER kill BEFORE INSERT ON page_ledger BEGIN SELECT die(); END"
                )
                await store.write_pages(query, [page], InFlightChanges())

        trio.run(main)
    """
    process = await trio.run_process([sys.executable, "-c", program, str(path)], check=False)
    assert process.returncode == -9
    assert (await trio.Path(f"{path}-wal").stat()).st_size > 500_000
    assert comparable_dump(path) == before


async def test_a_full_disk_is_told_and_leaves_the_store_usable(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    [pages] = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = make_page(2, rows=[f"{index} {'x' * 100}" for index in range(1_000)], row_limit=1_000)
    with pytest.raises(StorageError, match="the disk is full: free some space"):
        await store.write_pages(query, [large], NO_CHANGES)
    assert not store._connection.in_transaction
    store._connection.execute("PRAGMA max_page_count = 1000000")
    await store.write_pages(query, [large], NO_CHANGES)
    [coverage] = await store.coverage()
    assert coverage.rows == 1_001


async def test_a_database_locked_by_another_program_is_told(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    store._connection.execute("PRAGMA busy_timeout = 20")
    reader.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="another program keeps it locked"):
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    reader.execute("COMMIT")
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    assert queries_of(reader) == ["a"]


def test_a_locked_database_is_not_waited_for_longer_than_a_halt_may_take() -> None:
    assert Settings().grace_seconds >= BUSY_TIMEOUT_SECONDS


async def test_a_database_that_stays_locked_is_waited_for_once_and_again_when_it_was_free(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that halts winds up in some more transactions, which must not take long each."""
    monkeypatch.setattr("gsc_trio.store.connection.BUSY_TIMEOUT_SECONDS", 0.5)
    page = make_page(1, rows=["a"])
    async with open_sqlite_store(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        seconds = []
        for _ in range(8):
            began = trio.current_time()
            with pytest.raises(StorageError, match="another program keeps it locked"):
                await store.write_pages(query, [page], NO_CHANGES)
            seconds.append(trio.current_time() - began)
            await store.coverage()  # reading says nothing of whether one may write
        assert seconds[0] > 0.4
        assert sum(seconds[1:]) < 0.4 * 7
        other.execute("COMMIT")
        await store.write_pages(query, [page], NO_CHANGES)
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.1, other.execute, ["COMMIT"])
        release.start()
        await store.write_pages(query, [page], NO_CHANGES)
        release.join()
        other.close()


async def test_processes_write_to_one_database_one_after_another(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    program = """if True:
        import datetime as dt, sys, trio
        from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
        from gsc_trio.store.sqlite import open_sqlite_store

        async def main():
            query = SearchAnalyticsQuery(sys.argv[2], dimensions=("query",))
            async with open_sqlite_store(sys.argv[1], wait=True) as store:
                for day in range(1, 29):
                    page = Page(Job(dt.date(2024, 1, day)), [Row((sys.argv[2],))], 10, 1)
                    await store.write_pages(query, [page], InFlightChanges())

        trio.run(main)
    """
    sites = ["sc-domain:a.example", "sc-domain:b.example", "sc-domain:c.example"]

    async def run(site: str) -> None:
        await trio.run_process([sys.executable, "-c", program, str(path), site])

    async with trio.open_nursery() as nursery:
        for site in sites:
            nursery.start_soon(run, site)
    async with open_sqlite_store(path, read_only=True) as store:
        assert [(found.site_url, found.days_complete) for found in await store.coverage()] == [
            (site, 28) for site in sites
        ]


@pytest.mark.parametrize("how", ["removed", "replaced", "with its folder"])
async def test_a_database_that_is_taken_away_is_noticed_before_a_page_counts_as_written(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage, how: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "search.db"
    async with open_sqlite_store(path) as store:
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
        if how == "with its folder":
            shutil.rmtree(folder)
        else:
            path.unlink()
        if how == "replaced":
            path.write_bytes(b"")
        for _ in range(2):
            with pytest.raises(StorageError, match="was removed or replaced while it was in use"):
                await store.write_pages(query, [make_page(2, rows=["b"])], NO_CHANGES)
