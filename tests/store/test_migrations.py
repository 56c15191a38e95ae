"""A database of an older version becomes one of this version, with all that it holds."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs
import pytest

from gsc_trio.errors import UsageError
from gsc_trio.filters import DimensionFilter
from gsc_trio.model import InFlightChanges, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.base import StoredDay
from gsc_trio.store.connection import open_connection
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.schema import APPLICATION_ID, MIGRATIONS, _create_rows_table, as_sqlite_utils
from gsc_trio.store.sqlite import open_sqlite_store

MakePage = Callable[..., Page]

ROWS = [Row(("top",), 9.0, 90.0, 1.5), Row(("it's",), 5.0, 80.0, 2.0), Row(("last",), 5.0, 7.0)]


OLDER_VERSIONS = range(1, len(MIGRATIONS))

KEYED_BY_DIMENSIONS = """
    CREATE TABLE search_analytics_by_query (
        dataset_id INTEGER NOT NULL REFERENCES dataset(id), data_date TEXT NOT NULL,
        query TEXT NOT NULL, clicks INTEGER NOT NULL, impressions INTEGER NOT NULL,
        sum_position REAL, PRIMARY KEY (dataset_id, data_date, query)
    ) WITHOUT ROWID;
    CREATE TABLE search_analytics_by_country (
        dataset_id INTEGER NOT NULL REFERENCES dataset(id), data_date TEXT NOT NULL,
        country TEXT NOT NULL, clicks INTEGER NOT NULL, impressions INTEGER NOT NULL,
        sum_position REAL, PRIMARY KEY (dataset_id, data_date, country)
    ) WITHOUT ROWID;
"""
"""How versions 1 and 2 kept rows; those after them number them, as this one does."""


def make_version(version: int, path: Path, site_url: str, data_date: str) -> None:
    """What an older version wrote: a day by query, and one by country that has the same rows."""
    is_numbered = version >= 3
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        database = as_sqlite_utils(connection)
        for migration in MIGRATIONS[:version]:
            migration(database)
        if is_numbered:
            _create_rows_table(database, ("query",))
            _create_rows_table(database, ("country",))
        else:
            connection.executescript(KEYED_BY_DIMENSIONS)
        connection.executescript(
            f"""
            CREATE VIEW searchdata_site_impression AS
                SELECT query, clicks FROM search_analytics_by_query
                UNION ALL SELECT country, clicks FROM search_analytics_by_country;
            PRAGMA application_id = {APPLICATION_ID};
            PRAGMA user_version = {version};
            """
        )
        for dataset_id, dimension in enumerate(("query", "country"), start=1):
            connection.execute(
                "INSERT INTO dataset (id, site_url, search_type, dimensions) "
                "VALUES (?, ?, 'web', ?)",
                (dataset_id, site_url, dimension),
            )
            connection.execute(
                "INSERT INTO page_ledger VALUES (?, ?, 0, 100, 3, 'final', '2024-06-01')",
                (dataset_id, data_date),
            )
            for number, row in enumerate(ROWS):
                place = (number, *row.keys) if is_numbered else row.keys
                sum_position = row.position and (row.position - 1) * row.impressions
                values = (dataset_id, data_date, *place, row.clicks, row.impressions, sum_position)
                connection.execute(
                    f"INSERT INTO search_analytics_by_{dimension} "
                    f"VALUES ({', '.join('?' * len(values))})",
                    values,
                )


@pytest.mark.parametrize("version", OLDER_VERSIONS)
async def test_a_database_of_every_older_version_becomes_what_this_one_would_have_made(
    version: int, tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    page = make_page(1, rows=ROWS, row_limit=100)
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    make_version(version, old, query.site_url, page.job.data_date.isoformat())
    async with open_sqlite_store(old) as store:
        coverages = await store.coverage()
    async with open_sqlite_store(new) as store:
        await store.write_pages(query, [page], InFlightChanges())
        by_country = attrs.evolve(query, dimensions=("country",))
        await store.write_pages(by_country, [page], InFlightChanges())
    assert [(each.rows, each.days_complete) for each in coverages] == [(3, 1), (3, 1)]
    assert comparable_dump(old) == comparable_dump(new)


@pytest.mark.parametrize("version", OLDER_VERSIONS)
async def test_what_an_older_version_stored_is_known_and_apart_from_what_is_filtered(
    version: int, tmp_path: Path, query: SearchAnalyticsQuery
) -> None:
    path, day = tmp_path / "old.db", dt.date(2024, 1, 1)
    make_version(version, path, query.site_url, day.isoformat())
    filtered = attrs.evolve(query, filters=(DimensionFilter("device", "equals", "MOBILE"),))
    async with open_sqlite_store(path) as store:
        assert await store.begin_run(query, day, day) == {day: StoredDay(3, is_complete=True)}
        assert await store.begin_run(filtered, day, day) == {}
        assert await store.recent_grants() == []
        assert await store.runs() == []


def test_an_older_database_is_left_as_it_is_when_it_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    make_version(2, path, "https://example.com/", "2024-01-01")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="made by an older gsc-trio"):
        open_connection(path, create=False, read_only=True)
    assert path.read_bytes() == before
