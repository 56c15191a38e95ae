"""A page is written whole, once, and nowhere else."""

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
from gsc_trio.model import InFlightChanges, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.connection import BUSY_TIMEOUT_SECONDS
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()


def queries_of(connection: sqlite3.Connection, day: int = 1) -> list[str]:
    rows = connection.execute(
        "SELECT query FROM search_analytics_by_query WHERE data_date = ? ORDER BY query",
        (f"2024-01-{day:02d}",),
    )
    return [text for (text,) in rows]


def before_the_ledger_entry(store: SqliteStore, action: Callable[[], None]) -> None:
    """Have the store's connection call this in mid-transaction, after the page's rows."""
    store._connection.create_function("action", 0, action)
    store._connection.execute(
        "CREATE TEMP TRIGGER mid_transaction BEFORE INSERT ON page_ledger BEGIN "
        "SELECT action(); END"
    )


async def test_a_page_is_there_with_its_rows_and_its_ledger_entry(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    await store.write_pages(
        query, [make_page(1, rows=[Row(("trio",), 3.0, 10.0, 2.5)])], NO_CHANGES
    )
    assert reader.execute("SELECT * FROM search_analytics_by_query").fetchall() == [
        (1, "2024-01-01", 0, "trio", 3, 10, 15.0)
    ]
    assert reader.execute(
        "SELECT dataset_id, data_date, start_row, row_limit, row_count, data_state FROM page_ledger"
    ).fetchall() == [(1, "2024-01-01", 0, 3, 1, "final")]


async def test_the_same_page_twice_leaves_what_one_write_leaves(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    pages = [make_page(1, 0, ["a", "b", "c"]), make_page(1, 3, ["d"])]
    for name, repeats in (("once.db", 1), ("twice.db", 2)):
        async with open_sqlite_store(tmp_path / name) as store:
            for page in pages:
                for _ in range(repeats):
                    await store.write_pages(query, [page], NO_CHANGES)
    assert comparable_dump(tmp_path / "once.db") == comparable_dump(tmp_path / "twice.db")


async def test_a_days_first_page_replaces_the_day(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(1, 3, ["d"])], NO_CHANGES)
    await store.write_pages(query, [make_page(2, 0, ["other day"])], NO_CHANGES)
    await store.write_pages(query, [make_page(1, 0, ["b"])], NO_CHANGES)
    assert queries_of(reader, day=1) == ["b"]
    assert queries_of(reader, day=2) == ["other day"]
    assert reader.execute(
        "SELECT data_date, start_row, row_count FROM page_ledger ORDER BY data_date"
    ).fetchall() == [("2024-01-01", 0, 1), ("2024-01-02", 0, 1)]


async def test_a_row_that_moved_between_pages_is_there_once_as_the_later_page_has_it(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "moves"])], NO_CHANGES)
    await store.write_pages(
        query, [make_page(1, 3, [Row(("moves",), 7.0, 70.0, 1.0), "z"])], NO_CHANGES
    )
    assert reader.execute(
        "SELECT clicks, impressions, sum_position FROM search_analytics_by_query "
        "WHERE query = 'moves'"
    ).fetchall() == [(7, 70, 0.0)]
    assert queries_of(reader) == ["a", "b", "moves", "z"]


async def test_datasets_do_not_share_rows(
    store: SqliteStore, make_page: MakePage, reader: sqlite3.Connection
) -> None:
    mine = SearchAnalyticsQuery("https://example.com/", dimensions=("query",))
    others = [
        SearchAnalyticsQuery("https://example.org/", dimensions=("query",)),
        SearchAnalyticsQuery("https://example.com/", "image", dimensions=("query",)),
        SearchAnalyticsQuery("https://example.com/", dimensions=("page",)),
    ]
    for other in others:
        await store.write_pages(other, [make_page(1, rows=["theirs"])], NO_CHANGES)
    await store.write_pages(mine, [make_page(1, rows=["mine"])], NO_CHANGES)
    await store.write_pages(mine, [make_page(1)], NO_CHANGES)
    assert reader.execute(
        "SELECT site_url, search_type, dimensions, clicks FROM searchdata_site_impression "
        "UNION ALL SELECT site_url, search_type, dimensions, clicks FROM searchdata_url_impression"
    ).fetchall() == [
        ("https://example.org/", "web", "query", 1),
        ("https://example.com/", "image", "query", 1),
        ("https://example.com/", "web", "page", 1),
    ]


async def test_the_data_state_does_not_make_another_dataset(
    store: SqliteStore, make_page: MakePage, reader: sqlite3.Connection
) -> None:
    for data_state in ("all", "final"):
        query = SearchAnalyticsQuery(
            "https://example.com/", dimensions=("query",), data_state=data_state
        )
        await store.write_pages(query, [make_page(1, rows=[data_state])], NO_CHANGES)
    assert queries_of(reader) == ["final"]


async def test_hostile_names_and_texts_are_stored_as_they_are(
    store: SqliteStore, make_page: MakePage, reader: sqlite3.Connection
) -> None:
    site = """sc-domain:x');DROP/**/TABLE"dataset;--%s😀""".replace("/", "")
    texts = sorted(
        ["'; DROP TABLE dataset; --", '"quoted"', "new\nline", "🦊", "null\0inside", "", "null\0"]
    )
    query = SearchAnalyticsQuery(site, dimensions=("query",))
    await store.write_pages(query, [make_page(1, rows=texts, row_limit=100)], NO_CHANGES)
    assert queries_of(reader) == texts
    assert [coverage.site_url for coverage in await store.coverage()] == [site]


@pytest.mark.parametrize("dimensions", [("query",), ("page", "query", "country", "device"), ()])
async def test_pages_of_every_size_are_complete(
    store: SqliteStore,
    make_page: MakePage,
    reader: sqlite3.Connection,
    dimensions: tuple[str, ...],
) -> None:
    query = SearchAnalyticsQuery("https://example.com/", dimensions=dimensions)
    for row_count in (0, 1, 7, 4_095, 4_096, 4_097, 25_000) if dimensions else (0, 1):
        rows = [
            Row(tuple(f"{name} {index}" for name in dimensions), 1.0, 2.0, float(index))
            for index in range(row_count)
        ]
        await store.write_pages(query, [make_page(1, rows=rows, row_limit=25_000)], NO_CHANGES)
        [coverage] = await store.coverage()
        assert coverage.rows == row_count
        name = "_".join(dimensions) or "date"
        assert reader.execute(
            f"SELECT count(*), total(sum_position) FROM search_analytics_by_{name}"
        ).fetchone() == (row_count, sum((index - 1) * 2 for index in range(row_count)))


async def test_a_connection_with_few_variables_takes_large_pages_too(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    store._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 20)
    rows = [f"{index:03d}" for index in range(100)]
    await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)
    assert queries_of(reader) == rows


async def test_a_failure_in_mid_transaction_leaves_nothing_and_the_store_usable(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, path: Path
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    before = comparable_dump(path)

    def fail() -> None:
        raise OSError

    before_the_ledger_entry(store, fail)
    for page in (make_page(1, 0, ["new"]), make_page(1, 3, ["d"]), make_page(2, 0, ["e"])):
        with pytest.raises(StorageError, match=r"cannot write .*search\.db"):
            await store.write_pages(query, [page], NO_CHANGES)
        assert comparable_dump(path) == before
    store._connection.execute("DROP TRIGGER mid_transaction")
    await store.write_pages(query, [make_page(1, 3, ["d"])], NO_CHANGES)
    [coverage] = await store.coverage()
    assert coverage.rows == 4


async def test_a_first_page_that_fails_leaves_no_dataset_and_no_table(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, path: Path
) -> None:
    before = comparable_dump(path)
    with pytest.raises(StorageError, match="does not have 1 keys"):
        await store.write_pages(query, [make_page(1, rows=[Row(("a", "b"))])], NO_CHANGES)
    assert comparable_dump(path) == before
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    assert "search_analytics_by_query" in comparable_dump(path)


@pytest.mark.parametrize(
    "row",
    [
        Row(("lone surrogate \ud800",), 1.0, 1.0),
        Row(("too large",), 1e30, 1.0),
        Row(("no number",), float("nan"), 1.0),
    ],
)
async def test_a_value_that_sqlite_cannot_take_is_a_storage_error(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, path: Path, row: Row
) -> None:
    before = comparable_dump(path)
    with pytest.raises(StorageError, match="a value cannot be stored"):
        await store.write_pages(query, [make_page(1, rows=["fine", row])], NO_CHANGES)
    assert comparable_dump(path) == before


async def test_rows_whose_keys_even_out_are_refused(
    store: SqliteStore, make_page: MakePage
) -> None:
    query = SearchAnalyticsQuery("https://example.com/", dimensions=("page", "query"))
    rows = [Row(("a",)), Row(("b", "c", "d"))]
    with pytest.raises(StorageError, match="does not have 2 keys"):
        await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)


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
    reader: sqlite3.Connection,
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


async def test_a_write_that_is_cancelled_halfway_is_finished(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        halfway.set()
        go_on.wait(timeout=10)

    before_the_ledger_entry(store, wait)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write_pages, query, [make_page(1, rows=["a"])], NO_CHANGES)
            await trio.to_thread.run_sync(halfway.wait, 10)
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            go_on.set()
    assert not store._connection.in_transaction
    assert queries_of(reader) == ["a"]
    assert reader.execute("SELECT row_count FROM page_ledger").fetchall() == [(1,)]


async def test_a_write_that_is_cancelled_before_it_begins_does_nothing(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, path: Path
) -> None:
    before = comparable_dump(path)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    assert scope.cancelled_caught
    assert comparable_dump(path) == before


async def test_others_can_read_while_a_page_is_written(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    halfway, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        halfway.set()
        go_on.wait(timeout=10)

    before_the_ledger_entry(store, wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.write_pages, query, [make_page(1, 3, ["d"])], NO_CHANGES)
        await trio.to_thread.run_sync(halfway.wait, 10)
        reader.execute("BEGIN")
        assert queries_of(reader) == ["a", "b", "c"]
        go_on.set()
    assert queries_of(reader) == ["a", "b", "c"]
    reader.execute("COMMIT")
    assert queries_of(reader) == ["a", "b", "c", "d"]


async def test_tasks_that_write_at_once_take_turns(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: sqlite3.Connection,
) -> None:
    async with trio.open_nursery() as nursery:
        for day in range(1, 21):
            nursery.start_soon(store.write_pages, query, [make_page(day, rows=["a"])], NO_CHANGES)
    assert reader.execute("SELECT count(*) FROM page_ledger").fetchone() == (20,)


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
