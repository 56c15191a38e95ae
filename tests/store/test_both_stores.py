"""Whatever is written, an SQLite file and a Postgres database hold the same and say the same."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_trio.filters import DimensionFilter
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.postgres.store import open_postgres_store
from gsc_trio.store.sqlite import open_sqlite_store
from tests.store.databases import AnyStore, Reader, content, reading

VIEWS = (
    "searchdata_url_impression",
    "searchdata_site_impression",
    "filtered_impression",
    "hourly_impression",
    "performance_by_page",
    "performance_by_query",
    "performance_by_week",
    "page_movers",
    "query_movers",
    "cannibalisation",
)

_sites = count(1)

SHOPS = (DimensionFilter("page", "contains", "/shop/"),)

kinds = st.sampled_from(
    [
        {"dimensions": ("page", "query")},
        {"dimensions": ("page", "query"), "search_type": "image"},
        {"dimensions": ("page", "query"), "data_state": "all"},
        {"dimensions": ("page", "query"), "filters": SHOPS},
        {"dimensions": ("query",)},
        {"dimensions": ()},
        {"dimensions": ("hour", "page"), "data_state": "hourly_all"},
    ]
)
# Few days, on both sides of the ends of months, weeks and of the movers' periods.
days = st.sampled_from([dt.date(2024, 2, 29) - dt.timedelta(days=n) for n in (0, 1, 27, 28, 29)])
numbers = st.integers(0, 9).map(float)
rows = st.lists(
    st.tuples(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "Y", "ä\t\\"])),
        numbers,
        numbers,
        st.none() | st.floats(1.0, 99.0),
    ),
    max_size=4,
)
written = st.lists(st.tuples(kinds, days, st.sampled_from([0, 4, 8]), rows), max_size=8)


@pytest.fixture(scope="module")
def addresses(
    postgres_server: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    address = postgres_server.new_database()
    yield tmp_path_factory.mktemp("both") / "search.db", address
    postgres_server.drop_database(address)


def one_view(reader: Reader, name: str, site: str) -> list[tuple[Any, ...]]:
    """A view's rows for a site, with whole numbers and fractions told apart only by value."""
    cursor = reader.execute(f"SELECT * FROM {name} WHERE site_url = '{site}'")
    columns = [column for column, *_ in cursor.description]
    found = [tuple(map(comparable, row)) for row in cursor.fetchall()]
    return [tuple(columns), *sorted(found, key=repr)]


def comparable(value: object) -> object:
    # Sums of fractions depend on the order in which they are added.
    return float(f"{value:.9g}") if isinstance(value, float) and math.isfinite(value) else value


async def write(store: AnyStore, site: str, pages: list[Any]) -> list[Any]:
    """Write pages; what the store then says of days."""
    said: list[Any] = []
    for facts, day, start_row, values in pages:
        query = SearchAnalyticsQuery(site, row_limit=4, **facts)
        width = len(query.dimensions)
        rows = [Row(keys[:width], *numbers) for keys, *numbers in values]
        page = Page(Job(day, start_row), rows, 4, 1)
        taken = InFlightChanges(taken=((Job(day, start_row + 4), "w1"),))
        await store.write_pages(query, [page], taken)
        said += [
            await store.stored_days(query, dt.date(2024, 1, 1), dt.date(2024, 3, 1)),
            await store.days_with_anything(query),
            await store.audit(query, [day]),
        ]
    said += [
        (each.site_url, each.dimensions, each.filters, each.days_complete, each.rows)
        for each in await store.coverage()
        if each.site_url == site
    ]
    return said


@settings(max_examples=40)
@given(written)
def test_both_hold_and_say_the_same(addresses: tuple[Path, str], pages: list[Any]) -> None:
    path, address = addresses
    site = f"https://{next(_sites)}.example/"

    async def check() -> None:
        async with open_sqlite_store(path) as sqlite, open_postgres_store(address) as postgres:
            assert await write(sqlite, site, pages) == await write(postgres, site, pages)
            with ExitStack() as stack:
                readers = [stack.enter_context(reading(store)) for store in (sqlite, postgres)]
                held = [of_site(content(reader), site) for reader in readers]
                assert held[0] == held[1]
                for view in VIEWS:
                    ours, theirs = (one_view(reader, view, site) for reader in readers)
                    assert ours == theirs, view

    trio.run(check)


def of_site(held: dict[str, list[tuple[Any, ...]]], site: str) -> dict[str, list[tuple[Any, ...]]]:
    found = {table: [row for row in rows if row[0][0] == site] for table, rows in held.items()}
    return {table: rows for table, rows in found.items() if rows}
