"""The views: BigQuery's names, NULL for what was not asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import attrs
import pytest

from gsc_trio.filters import DimensionFilter
from gsc_trio.model import DIMENSIONS, InFlightChanges, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.sqlite import open_sqlite_store
from tests.store.databases import AnyStore, Reader

MakePage = Callable[..., Page]

BOTH = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)

NO_CHANGES = InFlightChanges()
SITE = "https://example.com/"
FIRST, LAST = ("2024-01-01", SITE), ("web", 10, 3, 5.0)

VIEWS = (
    "searchdata_url_impression",
    "searchdata_site_impression",
    "filtered_impression",
    "hourly_impression",
)

URL_COLUMNS = [
    "data_date",
    "site_url",
    "url",
    "query",
    "country",
    "device",
    "search_type",
    "impressions",
    "clicks",
    "sum_position",
    "dimensions",
]
SITE_COLUMNS = [
    "data_date",
    "site_url",
    "query",
    "country",
    "device",
    "search_type",
    "impressions",
    "clicks",
    "sum_top_position",
    "search_appearance",
    "dimensions",
]


def read_view(connection: Reader, name: str) -> tuple[list[str], list[tuple[object, ...]]]:
    cursor = connection.execute(f"SELECT * FROM {name} ORDER BY dimensions")
    return [column[0] for column in cursor.description], cursor.fetchall()


@BOTH
async def test_the_views_are_there_from_the_start(store: AnyStore, reader: Reader) -> None:
    assert read_view(reader, "searchdata_url_impression") == (URL_COLUMNS, [])
    assert read_view(reader, "searchdata_site_impression") == (SITE_COLUMNS, [])


@BOTH
async def test_what_has_a_page_is_in_the_url_view(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    for dimensions in (("page",), ("page", "query"), ("page", "query", "country", "device")):
        query = SearchAnalyticsQuery(SITE, dimensions=dimensions)
        row = Row(tuple(name.upper() for name in query.dimensions), 3.0, 10.0, 1.5)
        await store.write_pages(query, [make_page(1, rows=[row])], NO_CHANGES)
    first, last = ("2024-01-01", SITE), ("web", 10, 3, 5.0)
    assert read_view(reader, "searchdata_url_impression") == (
        URL_COLUMNS,
        [
            (*first, "PAGE", None, None, None, *last, "page"),
            (*first, "PAGE", "QUERY", None, None, *last, "page,query"),
            (*first, "PAGE", "QUERY", "COUNTRY", "DEVICE", *last, "page,query,country,device"),
        ],
    )
    assert read_view(reader, "searchdata_site_impression") == (SITE_COLUMNS, [])


@BOTH
async def test_what_has_no_page_is_in_the_site_view(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    for dimensions in ((), ("query", "device"), ("country",), ("searchAppearance",)):
        query = SearchAnalyticsQuery(SITE, dimensions=dimensions)
        row = Row(tuple(name.upper() for name in query.dimensions), 3.0, 10.0, 1.5)
        await store.write_pages(query, [make_page(1, rows=[row])], NO_CHANGES)
    first, last = ("2024-01-01", SITE), ("web", 10, 3, 5.0)
    assert read_view(reader, "searchdata_site_impression") == (
        SITE_COLUMNS,
        [
            (*first, None, None, None, *last, None, ""),
            (*first, None, "COUNTRY", None, *last, None, "country"),
            (*first, "QUERY", None, "DEVICE", *last, None, "query,device"),
            (*first, None, None, None, *last, "SEARCHAPPEARANCE", "searchAppearance"),
        ],
    )
    assert read_view(reader, "searchdata_url_impression") == (URL_COLUMNS, [])


@BOTH
async def test_the_average_position_is_computed_as_on_bigquery(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    query = SearchAnalyticsQuery(SITE, dimensions=("page",))
    rows = [Row(("a",), 0.0, 10.0, 2.0), Row(("b",), 0.0, 30.0, 6.0)]
    await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)
    assert reader.execute(
        "SELECT sum(sum_position) / sum(impressions) + 1 FROM searchdata_url_impression"
    ).fetchone() == (5.0,)


async def test_a_view_finds_one_sites_days_by_their_key(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    for dimensions in (("page",), ("page", "query")):
        query = SearchAnalyticsQuery(SITE, dimensions=dimensions)
        await store.write_pages(query, [make_page(1)], NO_CHANGES)
    plan = reader.execute(
        "EXPLAIN QUERY PLAN SELECT sum(clicks) FROM searchdata_url_impression "
        f"WHERE site_url = '{SITE}' AND data_date BETWEEN '2024-01-01' AND '2024-01-31'"
    ).fetchall()
    searches = [detail for *_, detail in plan if "stored" in detail]
    assert len(searches) == 2
    assert all("dataset_id=? AND data_date>? AND data_date<?" in detail for detail in searches)


async def test_every_set_of_dimensions_has_its_table_and_its_view(path: Path) -> None:
    *combinable, alone = DIMENSIONS
    sets = [dimensions for size in range(6) for dimensions in combinations(combinable, size)]
    async with open_sqlite_store(path) as store:
        for dimensions in (*sets, (alone,)):
            data_state = "hourly_all" if "hour" in dimensions else "final"
            query = SearchAnalyticsQuery(SITE, dimensions=dimensions, data_state=data_state)
            await store.begin_run(query, dt.date(2024, 1, 1), dt.date(2024, 1, 1))
        for view in VIEWS:
            read_view(store._connection, view)
        tables = store._connection.execute(
            "SELECT count(*) FROM sqlite_master WHERE name GLOB 'search_analytics_by_*'"
        ).fetchone()
    assert tables == (33,)


@BOTH
async def test_what_is_filtered_or_aggregated_otherwise_is_not_counted_twice(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    whole = SearchAnalyticsQuery(SITE, dimensions=("country",))
    shops = DimensionFilter("page", "contains", "/shop/")
    mobile = DimensionFilter("device", "equals", "MOBILE")
    for number, query in enumerate(
        (
            whole,
            attrs.evolve(whole, filters=(mobile, shops)),
            attrs.evolve(whole, filters=(shops,)),
            attrs.evolve(whole, aggregation_type="byPage"),
        )
    ):
        rows = [Row((f"c{number}",), 3.0, 10.0, 1.5)]
        await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)
    whole_view = "SELECT country FROM searchdata_site_impression"
    assert reader.execute(whole_view).fetchall() == [("c0",)]
    assert reader.execute(
        "SELECT data_date, site_url, url, query, country, device, search_appearance, search_type, "
        "impressions, clicks, sum_position, dimensions, filters, aggregation_type "
        "FROM filtered_impression ORDER BY country"
    ).fetchall() == [
        (*FIRST, None, None, country, None, None, *LAST, "country", filters, aggregation_type)
        for country, filters, aggregation_type in [
            ("c1", "page:contains:/shop/\ndevice:equals:MOBILE", "auto"),
            ("c2", "page:contains:/shop/", "auto"),
            ("c3", "", "byPage"),
        ]
    ]


@BOTH
async def test_hours_are_in_a_view_of_their_own(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    query = SearchAnalyticsQuery(SITE, dimensions=("page", "hour"), data_state="hourly_all")
    rows = [Row(("2024-01-01T05:00:00-08:00", "PAGE"), 3.0, 10.0, 1.5)]
    await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)
    found = reader.execute("SELECT hour, url, clicks, filters FROM hourly_impression").fetchall()
    assert found == [("2024-01-01T05:00:00-08:00", "PAGE", 3, "")]
    for view in set(VIEWS) - {"hourly_impression"}:
        assert read_view(reader, view)[1] == []
