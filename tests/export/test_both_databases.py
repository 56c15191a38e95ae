"""What is exported from Postgres is what is exported from a SQLite file with the same rows."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import trio

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.export import (
    Existing,
    ExportSummary,
    Selection,
    export_csv,
    export_duckdb,
    export_parquet,
    open_arrow_reader,
    read_arrow,
)
from gsc_trio.filters import DimensionFilter
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.postgres.store import open_postgres_store
from gsc_trio.store.sqlite import open_sqlite_store
from tests.export.databases import BY_PAGE_AND_QUERY, BY_QUERY, DAY, SITE, days_before
from tests.postgres_server import PostgresServer

Export = Callable[..., ExportSummary]

SHOPS = SearchAnalyticsQuery(SITE, filters=(DimensionFilter("page", "contains", "/shop/"),))
TOTALS = SearchAnalyticsQuery("https://example.com/ü%201/", search_type="discover", dimensions=())

# Rows that are repeated leave gaps in the numbers of those that stay.
PAGES = [
    (BY_PAGE_AND_QUERY, DAY, 0, [Row(("a", "x"), 9, 90, 1 + 2**-52), Row(("b", "y"), 8, 80, 3.3)]),
    (BY_PAGE_AND_QUERY, DAY, 2, [Row(("a", "x"), 9, 90, 1.5)]),
    (BY_PAGE_AND_QUERY, days_before(1), 0, [Row(("🦊\r\n", "=cmd|' \"q\"'"), 7, 2**53, 999.9)]),
    (BY_PAGE_AND_QUERY, days_before(2), 0, []),
    (BY_PAGE_AND_QUERY, days_before(40), 0, [Row(("p", f"{n}"), n, n) for n in range(1)]),
    # Of this day only a full page is there, so it is not complete.
    (BY_PAGE_AND_QUERY, days_before(41), 0, [Row(("p", "1"), 1, 1), Row(("p", "2"), 1, 1)]),
    (BY_QUERY, DAY, 0, [Row(("Z",), 1, 2, 3.0)]),
    (SHOPS, DAY, 0, [Row(("/shop/", "ä"), 1, 2, 3.0)]),
    (TOTALS, DAY, 0, [Row((), 5, 6)]),
]

COMMITTED_AT = "2026-03-02T01:02:03.040+00:00"


@pytest.fixture(scope="module")
def databases(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The same pages in a file and in Postgres, committed in the same instant."""
    path, address = tmp_path_factory.mktemp("both") / "gsc.db", postgres_server.new_database()

    async def write() -> None:
        async with open_sqlite_store(path) as sqlite, open_postgres_store(address) as postgres:
            for store in (sqlite, postgres):
                for query, day, start_row, rows in PAGES:
                    page = Page(Job(day, start_row), rows, 2, content_bytes=1)
                    await store.write_pages(query, [page], InFlightChanges())

    trio.run(write)
    update = f"UPDATE page_ledger SET committed_at = '{COMMITTED_AT}'"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(update)
    with psycopg.connect(address) as other:
        other.execute(update)
    yield {"sqlite": str(path), "postgres": address}
    postgres_server.drop_database(address)


def files(folder: Path) -> dict[Path, bytes]:
    return {
        each.relative_to(folder): each.read_bytes() for each in folder.rglob("*") if each.is_file()
    }


def test_parquet_files_are_equal_byte_by_byte(databases: dict[str, str], tmp_path: Path) -> None:
    summaries = [export_parquet(database, tmp_path / name) for name, database in databases.items()]
    assert summaries[0] == summaries[1] == ExportSummary(7, 7, 0, 1)
    assert files(tmp_path / "sqlite") == files(tmp_path / "postgres")
    assert len(files(tmp_path / "postgres")) == 7


def test_an_update_from_either_finds_the_days_of_the_other(
    databases: dict[str, str], tmp_path: Path
) -> None:
    for name, export in (("folder", export_parquet), ("rows.duckdb", export_duckdb)):
        assert export(databases["sqlite"], tmp_path / name).days_written == 7
        again = export(databases["postgres"], tmp_path / name, existing=Existing.UPDATE)
        assert (again.days_written, again.days_unchanged) == (0, 7)


@pytest.mark.parametrize(
    "selection",
    [
        Selection(dimensions=frozenset({"page", "query"}), is_filtered=False),
        Selection(dimensions=frozenset({"page", "query"}), is_filtered=False, start=DAY, end=DAY),
        Selection(is_filtered=True),
        Selection(search_type="discover"),
    ],
)
def test_csv_files_are_equal(
    databases: dict[str, str], tmp_path: Path, selection: Selection
) -> None:
    for name, database in databases.items():
        export_csv(database, tmp_path / name, selection)
    written = [(tmp_path / name).read_bytes() for name in databases]
    assert written[0] == written[1]
    assert written[1].count(b"\n") > 1


def test_duckdb_files_hold_the_same(databases: dict[str, str], tmp_path: Path) -> None:
    held = []
    for name, database in databases.items():
        export_duckdb(database, tmp_path / name)
        with duckdb.connect(str(tmp_path / name), read_only=True) as connection:
            tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1")
            held.append(
                {
                    table: connection.execute(f"SELECT * FROM {table}").fetchall()
                    for (table,) in tables.fetchall()
                }
            )
    assert held[0] == held[1]
    assert len(held[1]) == 5


def test_arrow_is_the_same(databases: dict[str, str]) -> None:
    sqlite, postgres = (read_arrow(database, BY_PAGE_AND_QUERY) for database in databases.values())
    assert sqlite.equals(postgres, check_metadata=True)
    assert postgres.num_rows == 4
    with open_arrow_reader(databases["postgres"], BY_PAGE_AND_QUERY, start=days_before(1)) as days:
        assert [batch.num_rows for batch in days] == [1, 2]


def test_the_same_is_said_of_what_is_not_there(databases: dict[str, str], tmp_path: Path) -> None:
    for database in databases.values():
        with pytest.raises(UsageError, match="no complete day to export of what was asked for"):
            export_parquet(database, tmp_path / "folder", Selection(site_url="no.example"))
        with pytest.raises(UsageError, match="has rows by date and page,query and page,query, fil"):
            export_csv(database, tmp_path / "rows.csv")
    assert files(tmp_path) == {}


def export_while(
    database: str, folder: Path, on_day: Callable[[psycopg.Connection[Any]], object]
) -> ExportSummary:
    """Export while somebody does something to the database after the first day."""

    def disturb(done: int, days: int) -> None:
        if done == 1:
            with psycopg.connect(database, autocommit=True) as connection:
                on_day(connection)

    return export_parquet(database, folder, on_day=disturb)


def test_a_day_that_is_written_anew_meanwhile_is_whole_or_left_out(
    postgres_address: str, tmp_path: Path
) -> None:
    fill(postgres_address, {days_before(n): [Row(("a", "x"), 1, 2, 3.0)] for n in range(3)})
    summary = export_while(
        postgres_address,
        tmp_path / "folder",
        lambda connection: connection.execute(
            "DELETE FROM page_ledger WHERE data_date = %s", [days_before(1)]
        ),
    )
    assert (summary.days_written, summary.rows_written) == (2, 2)


def test_a_server_that_goes_away_is_told_and_leaves_whole_files(
    postgres_address: str, tmp_path: Path
) -> None:
    fill(postgres_address, {days_before(n): [Row(("a", "x"), 1, 2, 3.0)] for n in range(3)})
    with pytest.raises(StorageError, match="cannot read postgresql://") as error:
        export_while(
            postgres_address,
            tmp_path / "folder",
            lambda connection: connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ),
        )
    assert "\n" not in str(error.value)
    again = export_parquet(postgres_address, tmp_path / "folder", existing=Existing.UPDATE)
    assert (again.days_written, again.days_unchanged) == (2, 1)


def test_a_database_without_tables_of_ours_is_left_as_it_is(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    address = postgres_server.empty_database()
    for export in (export_csv, export_duckdb, export_parquet):
        with pytest.raises(UsageError, match="holds nothing of gsc-trio yet"):
            export(address, tmp_path / "target")
    with psycopg.connect(address) as connection:
        tables = connection.execute("SELECT FROM pg_class WHERE relname = 'dataset'").fetchall()
    assert tables == []
    assert files(tmp_path) == {}
    postgres_server.drop_database(address)


def fill(address: str, days: dict[dt.date, list[Row]]) -> None:
    async def write() -> None:
        async with open_postgres_store(address) as store:
            pages = [Page(Job(day), rows, 2, content_bytes=1) for day, rows in days.items()]
            await store.write_pages(BY_PAGE_AND_QUERY, pages, InFlightChanges())

    trio.run(write)
