"""A database of an older version becomes one of this version, with all that it holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gsc_trio.errors import UsageError
from gsc_trio.model import InFlightChanges, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.connection import open_connection
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.schema import APPLICATION_ID, MIGRATIONS, as_sqlite_utils
from gsc_trio.store.sqlite import open_sqlite_store

MakePage = Callable[..., Page]

ROWS = [Row(("top",), 9.0, 90.0, 1.5), Row(("it's",), 5.0, 80.0, 2.0), Row(("last",), 5.0, 7.0)]


def make_version_2(path: Path, site_url: str, data_date: str) -> None:
    """What the second version wrote: rows were kept by their dimensions."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        database = as_sqlite_utils(connection)
        for migration in MIGRATIONS[:2]:
            migration(database)
        connection.executescript(
            f"""
            CREATE TABLE search_analytics_by_query (
                dataset_id INTEGER NOT NULL REFERENCES dataset(id), data_date TEXT NOT NULL,
                query TEXT NOT NULL, clicks INTEGER NOT NULL, impressions INTEGER NOT NULL,
                sum_position REAL, PRIMARY KEY (dataset_id, data_date, query)
            ) WITHOUT ROWID;
            CREATE VIEW searchdata_site_impression AS SELECT * FROM search_analytics_by_query;
            PRAGMA application_id = {APPLICATION_ID};
            PRAGMA user_version = 2;
            """
        )
        connection.execute("INSERT INTO dataset VALUES (1, ?, 'web', 'query')", (site_url,))
        connection.execute(
            "INSERT INTO page_ledger VALUES (1, ?, 0, 100, 3, 'final', '2024-06-01')", (data_date,)
        )
        connection.executemany(
            "INSERT INTO search_analytics_by_query VALUES (1, ?, ?, ?, ?, ?)",
            [
                (
                    data_date,
                    *row.keys,
                    row.clicks,
                    row.impressions,
                    row.position and (row.position - 1) * row.impressions,
                )
                for row in ROWS
            ],
        )


async def test_rows_that_were_kept_by_their_dimensions_are_numbered(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    page = make_page(1, rows=ROWS, row_limit=100)
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make_version_2(old, query.site_url, page.job.data_date.isoformat())
    async with open_sqlite_store(old) as store:
        [coverage] = await store.coverage()
    async with open_sqlite_store(new) as store:
        await store.write_pages(query, [page], InFlightChanges())
    assert (coverage.rows, coverage.days_complete) == (3, 1)
    assert comparable_dump(old) == comparable_dump(new)


async def test_a_database_without_runs_gets_room_for_them_and_keeps_its_rows(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    path, new = tmp_path / "old.db", tmp_path / "new.db"
    page = make_page(1, rows=ROWS, row_limit=100)
    for each in (path, new):
        async with open_sqlite_store(each) as store:
            await store.write_pages(query, [page], InFlightChanges())
    with closing(sqlite3.connect(path)) as connection:  # what the third version wrote
        connection.executescript("DROP TABLE run; PRAGMA user_version = 3;")
    with pytest.raises(UsageError, match="made by an older gsc-trio"):
        open_connection(path, create=False, read_only=True)
    async with open_sqlite_store(path) as store:
        assert await store.runs() == []
    assert comparable_dump(path) == comparable_dump(new)


def test_an_older_database_is_left_as_it_is_when_it_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    make_version_2(path, "https://example.com/", "2024-01-01")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="made by an older gsc-trio"):
        open_connection(path, create=False, read_only=True)
    assert path.read_bytes() == before
