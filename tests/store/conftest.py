"""A database, a store on it, and a way to write pages down briefly."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gsc_trio.model import Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.parquet import open_parquet_store
from gsc_trio.store.postgres.store import open_postgres_store
from gsc_trio.store.sqlite import open_sqlite_store
from tests.store.databases import AnyStore, Reader, reading

MakePage = Callable[..., Page]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "search.db"


@pytest.fixture
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[AnyStore]:
    """A store in SQLite, or of the kind that a test names as its parameter."""
    kind = getattr(request, "param", "sqlite")
    if kind == "parquet":
        async with open_parquet_store(path.with_suffix("")) as folder:
            yield folder
    elif kind == "postgres":
        async with open_postgres_store(request.getfixturevalue("postgres_address")) as postgres:
            yield postgres
    else:
        async with open_sqlite_store(path) as database:
            yield database


@pytest.fixture
def query() -> SearchAnalyticsQuery:
    return SearchAnalyticsQuery("sc-domain:example.com", dimensions=("query",), row_limit=3)


@pytest.fixture
def make_page() -> MakePage:
    """Makes a page out of its day of January 2024, its start row and its rows.

    A row may be given as a `Row` or as the value of its one dimension.
    """

    def make(
        day: int, start_row: int = 0, rows: Sequence[Row | str] = (), *, row_limit: int = 3
    ) -> Page:
        return Page(
            job=Job(dt.date(2024, 1, day), start_row),
            rows=[row if isinstance(row, Row) else Row((row,), 1.0, 2.0, 3.0) for row in rows],
            row_limit=row_limit,
            content_bytes=100,
        )

    return make


@pytest.fixture
def reader(store: AnyStore) -> Iterator[Reader]:
    """Another program that looks at the store's database."""
    with reading(store) as connection:
        yield connection
