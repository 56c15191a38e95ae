"""A database of the user's, made of rows, and what it holds."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import trio

from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.sqlite import open_sqlite_store

SITE = "sc-domain:example.com"
BY_PAGE_AND_QUERY = SearchAnalyticsQuery(SITE)
BY_QUERY = SearchAnalyticsQuery(SITE, dimensions=("query",))
DAY = dt.date(2026, 3, 1)

Rows = Sequence[Row]


def days_before(number: int) -> dt.date:
    return DAY - dt.timedelta(days=number)


def write_days(
    path: Path, days: Mapping[dt.date, Rows], query: SearchAnalyticsQuery = BY_PAGE_AND_QUERY
) -> None:
    """Write whole days as a backfill does."""

    async def write() -> None:
        async with open_sqlite_store(path) as store:
            pages = [
                Page(Job(day), list(rows), len(rows) + 1, content_bytes=1)
                for day, rows in days.items()
            ]
            await store.write_pages(query, pages, InFlightChanges())

    trio.run(write)


def write_a_full_page(path: Path, day: dt.date) -> None:
    """Write the first page of a day that goes on."""

    async def write() -> None:
        async with open_sqlite_store(path) as store:
            page = Page(Job(day), [Row(("a", "b"), 1.0, 2.0, 3.0)], 1, content_bytes=1)
            await store.write_pages(BY_PAGE_AND_QUERY, [page], InFlightChanges())

    trio.run(write)


def rows_of(path: Path) -> list[tuple[object, ...]]:
    """What the database says, oldest day first and in Google's order."""
    columns = "data_date, site_url, search_type, page, query, clicks, impressions, sum_position"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(
            f"SELECT {columns} FROM search_analytics_by_page_query "
            "JOIN dataset ON dataset.id = dataset_id ORDER BY data_date, row_number"
        ).fetchall()
