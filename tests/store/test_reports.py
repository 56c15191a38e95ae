"""The ready-made views say what a loop over the rows says, and look at no more than they must."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_trio.filters import DimensionFilter
from gsc_trio.model import Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store import ledger
from gsc_trio.store.preparing import at_once
from gsc_trio.store.reports import PERIOD_DAYS
from gsc_trio.store.rows import prepare_in_steps, replace_rows
from gsc_trio.store.schema import migrate

SITE = "https://example.com/"
BY_PAGE_AND_QUERY = SearchAnalyticsQuery(SITE)
LAST_DAY = dt.date(2026, 3, 1)

SUMS = ["clicks", "impressions", "ctr", "position"]
DATASET = ["site_url", "search_type", "dimensions"]
COLUMNS = {
    "performance_by_page": [*DATASET, "url", *SUMS, "first_date", "last_date"],
    "performance_by_query": [*DATASET, "query", *SUMS, "first_date", "last_date"],
    "performance_by_week": [*DATASET, "week", *SUMS, "days"],
    "page_movers": [
        *(*DATASET, "url", "clicks_change", "clicks", "clicks_before"),
        *("impressions", "impressions_before", "position", "position_before"),
        *("last_date", "days", "days_before"),
    ],
    "query_movers": [
        *(*DATASET, "query", "clicks_change", "clicks", "clicks_before"),
        *("impressions", "impressions_before", "position", "position_before"),
        *("last_date", "days", "days_before"),
    ],
    "cannibalisation": [*DATASET, "query", "url", *SUMS, "share", "query_clicks", "pages"],
}


Numbers = tuple[int, int, float | None]
"""clicks, impressions, position"""


class Database:
    """A database in memory, written without a store."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection)

    def write(
        self,
        day: dt.date,
        rows: Mapping[tuple[str, ...], Numbers],
        query: SearchAnalyticsQuery = BY_PAGE_AND_QUERY,
    ) -> None:
        page = Page(Job(day), [Row(keys, *numbers) for keys, numbers in rows.items()], 25_000, 1)
        dataset_id = ledger.ensure_dataset(self.connection, query)
        replace_rows(
            self.connection,
            query.dimensions,
            dataset_id,
            day.isoformat(),
            0,
            at_once(prepare_in_steps(page.rows, len(query.dimensions), day, max_variables=999)),
        )
        ledger.record_page(self.connection, dataset_id, page, "final")

    def read(self, sql: str) -> list[dict[str, Any]]:
        cursor = self.connection.execute(sql)
        names = [name for name, *_ in cursor.description]
        return [dict(zip(names, values, strict=True)) for values in cursor]


@pytest.fixture
def database() -> Database:
    return Database()


def days_ago(number: int) -> dt.date:
    return LAST_DAY - dt.timedelta(days=number)


class Sums:
    """What a view says of a page, a query or a week, by a loop."""

    def __init__(self) -> None:
        self.clicks = self.impressions = self.ranked_impressions = 0
        self.sum_position = 0.0

    def add(self, clicks: int, impressions: int, position: float | None) -> None:
        self.clicks += clicks
        self.impressions += impressions
        if position is not None:
            self.ranked_impressions += impressions
            self.sum_position += position * impressions

    @property
    def position(self) -> float | None:
        return self.sum_position / self.ranked_impressions if self.ranked_impressions else None

    def check(self, row: dict[str, Any], suffix: str = "") -> None:
        assert row[f"clicks{suffix}"] == self.clicks
        assert row[f"impressions{suffix}"] == self.impressions
        assert row[f"position{suffix}"] == pytest.approx(self.position)


@pytest.mark.parametrize("view", COLUMNS)
def test_the_views_are_there_from_the_start_and_keep_their_columns(
    database: Database, view: str
) -> None:
    for number in range(2):
        described = database.connection.execute(f"SELECT * FROM {view}").description
        assert [name for name, *_ in described] == COLUMNS[view]
        database.write(days_ago(number), {})


rows_of_a_day = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")),
    st.tuples(st.integers(0, 5), st.integers(0, 9), st.none() | st.floats(1, 99)),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 70), rows_of_a_day, max_size=6))
def test_the_views_say_what_a_loop_says(
    days: dict[int, dict[tuple[str, ...], Numbers]],
) -> None:
    database, last_day = Database(), None
    by_page, by_query, by_week, recent, before = (defaultdict[str, Sums](Sums) for _ in range(5))
    for number, rows in sorted(days.items()):
        database.write(days_ago(number), rows)
        last_day = last_day or (days_ago(number) if rows else None)
        for (page, query), numbers in rows.items():
            assert last_day is not None
            day = days_ago(number)
            by_page[page].add(*numbers)
            by_query[query].add(*numbers)
            by_week[str(day - dt.timedelta(days=day.weekday()))].add(*numbers)
            age = (last_day - day).days
            if age < 2 * PERIOD_DAYS:
                (recent if age < PERIOD_DAYS else before)[page].add(*numbers)
    for view, name, expected in (
        ("performance_by_page", "url", by_page),
        ("performance_by_query", "query", by_query),
        ("performance_by_week", "week", by_week),
    ):
        found = database.read(f"SELECT * FROM {view}")
        assert sorted(row[name] for row in found) == sorted(expected)
        for row in found:
            expected[row[name]].check(row)
            ctr = row["clicks"] / row["impressions"] if row["impressions"] else None
            assert row["ctr"] == pytest.approx(ctr)
    found = database.read("SELECT * FROM page_movers")
    assert sorted(row["url"] for row in found) == sorted(recent.keys() | before.keys())
    for row in found:
        recent[row["url"]].check(row)
        before[row["url"]].check(row, "_before")
        assert row["clicks_change"] == row["clicks"] - row["clicks_before"]
        assert row["last_date"] == str(last_day)


def test_a_period_says_how_many_of_its_days_are_stored(database: Database) -> None:
    for number in (0, 1, 27, 28, 40):
        database.write(days_ago(number), {("a", "x"): (1, 2, 3.0)})
    database.write(days_ago(5), {})  # a day on which nobody came is stored, too
    [row] = database.read("SELECT * FROM query_movers")
    assert (row["query"], row["days"], row["days_before"]) == ("x", 4, 2)
    assert (row["clicks"], row["clicks_before"]) == (3, 2)


def test_the_newest_day_is_each_datasets_own(database: Database) -> None:
    old = attrs.evolve(BY_PAGE_AND_QUERY, site_url="https://old.example/")
    database.write(LAST_DAY, {("a", "x"): (1, 2, 3.0)})
    database.write(days_ago(300), {("o", "x"): (5, 6, 7.0)}, old)
    assert {(row["url"], row["clicks"]) for row in database.read("SELECT * FROM page_movers")} == {
        ("a", 1),
        ("o", 5),
    }


def test_pages_compete_if_each_has_a_tenth_of_the_impressions_of_the_last_weeks(
    database: Database,
) -> None:
    database.write(
        LAST_DAY,
        {
            ("one", "shared"): (4, 60, 2.0),
            ("two", "shared"): (1, 31, 6.0),
            ("three", "shared"): (9, 9, 1.0),
            ("one", "alone"): (9, 100, 1.0),
            ("two", "alone"): (0, 1, 1.0),
        },
    )
    # Long ago: it would be the first of three.
    database.write(days_ago(PERIOD_DAYS), {("three", "shared"): (50, 500, 1.0)})
    rows = database.read("SELECT * FROM cannibalisation ORDER BY clicks DESC")
    assert [(row["query"], row["url"], row["share"], row["pages"]) for row in rows] == [
        ("shared", "one", 0.6, 2),
        ("shared", "two", 0.31, 2),
    ]
    assert [row["query_clicks"] for row in rows] == [14, 14]


def test_sets_of_dimensions_and_search_types_are_kept_apart(database: Database) -> None:
    for search_type in ("web", "image"):
        for dimensions in (("page",), ("page", "query")):
            query = SearchAnalyticsQuery(SITE, search_type, dimensions)
            keys = tuple(f"a {name}" for name in dimensions)
            database.write(LAST_DAY, {keys: (1, 2, 3.0)}, query)
    for view in ("performance_by_page", "performance_by_week", "page_movers"):
        rows = database.read(f"SELECT * FROM {view}")
        assert sorted((row["search_type"], row["dimensions"], row["clicks"]) for row in rows) == [
            ("image", "page", 1),
            ("image", "page,query", 1),
            ("web", "page", 1),
            ("web", "page,query", 1),
        ]


@pytest.mark.parametrize("view", sorted(COLUMNS.keys() - {"performance_by_week"}))
def test_a_large_neighbour_costs_nothing(database: Database, view: str) -> None:
    """Were the condition not moved into the view, all sites' rows would be summed up first."""
    neighbour = attrs.evolve(BY_PAGE_AND_QUERY, site_url="https://neighbour.example/")
    database.write(
        LAST_DAY, {("a", f"{number}"): (1, 2, 3.0) for number in range(20_000)}, neighbour
    )
    database.write(LAST_DAY, {("mine", "x"): (1, 2, 3.0), ("mine too", "x"): (1, 2, 3.0)})
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    database.connection.set_progress_handler(count, 1_000)
    assert database.read(f"SELECT * FROM {view} WHERE site_url = '{SITE}'")
    assert steps < 10
    database.read(f"SELECT * FROM {view}")
    assert steps > 100


def test_hours_and_filtered_rows_are_parts_of_what_is_there_already(database: Database) -> None:
    database.write(LAST_DAY, {("a", "x"): (1, 2, 3.0)})
    filters = (DimensionFilter("country", "equals", "che"),)
    database.write(
        LAST_DAY, {("a", "x"): (1, 1, 3.0)}, attrs.evolve(BY_PAGE_AND_QUERY, filters=filters)
    )
    hourly = SearchAnalyticsQuery(
        SITE, dimensions=("hour", "page", "query"), data_state="hourly_all"
    )
    database.write(LAST_DAY, {("2026-03-01T01:00:00-08:00", "a", "x"): (1, 1, 3.0)}, hourly)
    for view in COLUMNS:
        if view != "cannibalisation":
            assert [row["impressions"] for row in database.read(f"SELECT * FROM {view}")] == [2]
