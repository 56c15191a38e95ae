"""Equal digests are equal dumps."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.comparison import content_of
from gsc_trio import (
    SearchAnalyticsQuery,
    Settings,
    backfill,
    open_search_console,
    open_sqlite_store,
)
from gsc_trio.store.dump import comparable_dump
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty, serve_fake_search_console

SITE = "sc-domain:example.com"
END = dt.date(2026, 3, 4)
DIMENSIONS = ("page", "query")


async def filled(path: Path, max_concurrency: int) -> Path:
    fake = FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=30)])
    async with (
        serve_fake_search_console(fake) as api_root,
        open_search_console(Settings(api_root=api_root, max_concurrency=max_concurrency)) as client,
        open_sqlite_store(path) as store,
    ):
        await backfill(
            client,
            SearchAnalyticsQuery(SITE),
            store,
            start=END - dt.timedelta(days=3),
            end=END,
            today=END,
        )
    return path


async def test_two_runs_that_fetched_the_same_have_the_same_digest(tmp_path: Path) -> None:
    first, second = await filled(tmp_path / "a.db", 1), await filled(tmp_path / "b.db", 3)
    assert comparable_dump(first) == comparable_dump(second)
    assert content_of(first, DIMENSIONS) == content_of(second, DIMENSIONS)
    with closing(sqlite3.connect(first)) as connection:
        (rows,) = connection.execute("SELECT COUNT(*) FROM searchdata_url_impression").fetchone()
    assert content_of(first, DIMENSIONS).rows == rows > 0


@pytest.mark.parametrize(
    ("statement", "is_different"),
    [
        ("UPDATE {rows} SET clicks = clicks + 1 WHERE rowid_is_first", True),
        ("UPDATE {rows} SET query = query || ' ' WHERE rowid_is_first", True),
        ("DELETE FROM {rows} WHERE rowid_is_first", True),
        ("UPDATE page_ledger SET row_count = row_count + 1", True),
        ("CREATE TABLE other (x)", True),
        ("UPDATE page_ledger SET committed_at = '2000-01-01'", False),
    ],
)
async def test_a_digest_differs_when_the_dump_does(
    tmp_path: Path, statement: str, is_different: bool
) -> None:
    path = await filled(tmp_path / "a.db", 2)
    dump, digest = comparable_dump(path), content_of(path, DIMENSIONS).digest
    with closing(sqlite3.connect(path)) as connection:
        (rows,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%clicks%'"
        ).fetchone()
        first = f"(page, query) = (SELECT page, query FROM {rows} ORDER BY page, query LIMIT 1)"
        with connection:
            connection.execute(statement.format(rows=rows).replace("rowid_is_first", first))
    assert (comparable_dump(path) != dump) == is_different
    assert (content_of(path, DIMENSIONS).digest != digest) == is_different
