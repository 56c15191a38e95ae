"""Filtered rows, hours, search appearances and totals: each where it cannot be counted twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import attrs
import duckdb
import pytest

from gsc_trio.errors import UsageError
from gsc_trio.export import Selection, export_csv, export_duckdb, export_parquet, read_arrow
from gsc_trio.filters import DimensionFilter
from gsc_trio.model import Row, SearchAnalyticsQuery
from tests.export.databases import BY_PAGE_AND_QUERY, DAY, SITE, write_days

SWISS = attrs.evolve(
    BY_PAGE_AND_QUERY,
    filters=(
        DimensionFilter("country", "equals", "che"),
        DimensionFilter("page", "contains", "a=b/c"),
    ),
)
QUERIES = [
    BY_PAGE_AND_QUERY,
    SWISS,
    SearchAnalyticsQuery(SITE, dimensions=("query",)),
    SearchAnalyticsQuery(SITE, dimensions=("query",), aggregation_type="byProperty"),
    SearchAnalyticsQuery(SITE, dimensions=()),
    SearchAnalyticsQuery(SITE, dimensions=("searchAppearance",)),
    SearchAnalyticsQuery(SITE, "discover", ("page",)),
    SearchAnalyticsQuery(SITE, dimensions=("hour", "page"), data_state="hourly_all"),
]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "gsc.db"
    for number, query in enumerate(QUERIES, start=1):
        position = None if query.search_type == "discover" else 2.0
        row = Row(tuple(f"a {name}" for name in query.dimensions), float(number), 10.0, position)
        write_days(path, {DAY: [row]}, query)
    return path


def test_a_duckdb_file_has_the_views_of_the_database(database: Path, tmp_path: Path) -> None:
    export_duckdb(database, tmp_path / "rows.duckdb")
    views = ("url", "site", "filtered", "hourly")
    with (
        closing(sqlite3.connect(database)) as expected,
        duckdb.connect(str(tmp_path / "rows.duckdb"), read_only=True) as connection,
    ):
        for name in views:
            view = (
                f"searchdata_{name}_impression" if name in {"url", "site"} else f"{name}_impression"
            )
            wanted = expected.execute(f"SELECT * FROM {view} ORDER BY clicks")
            found = connection.execute(
                f"SELECT * REPLACE (CAST(data_date AS VARCHAR) AS data_date) FROM {view} "
                "ORDER BY clicks"
            )
            assert [name for name, *_ in found.description] == [
                name for name, *_ in wanted.description
            ]
            assert found.fetchall() == wanted.fetchall() != []


def test_parquet_files_of_a_part_are_in_a_folder_of_their_own(
    database: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    assert export_parquet(database, folder).days_written == len(QUERIES)
    found = {
        path.name: duckdb.execute(
            "SELECT * EXCLUDE (data_date) FROM read_parquet(?, hive_partitioning = true)",
            [f"{path}/**/*.parquet"],
        ).fetchall()
        for path in folder.glob("search*")
    }
    assert [row[2] for row in found["search_analytics_by_page_query"]] == [1]
    [swiss] = found["search_analytics_by_page_query_filtered"]
    assert swiss[2] == 2
    assert set(swiss) >= {SITE, "web", "auto", "page:contains:a=b/c\ncountry:equals:che"}
    [by_property] = found["search_analytics_by_query_filtered"]
    assert by_property[1] == 4
    assert "byProperty" in by_property
    assert None in by_property  # no filters
    assert found["search_analytics_by_page"][0][3] is None  # discover has no positions


def test_arrow_is_of_just_the_query_that_is_asked_for(database: Path) -> None:
    for number, query in enumerate(QUERIES, start=1):
        assert read_arrow(database, query)["clicks"].to_pylist() == [number]


def test_csv_is_of_all_or_of_a_part(database: Path, tmp_path: Path) -> None:
    by_both = frozenset({"page", "query"})
    with pytest.raises(UsageError, match="--filtered or --unfiltered"):
        export_csv(database, tmp_path / "rows.csv", Selection(dimensions=by_both))
    for is_filtered, clicks in ((False, 1), (True, 2)):
        target = tmp_path / f"{is_filtered}.csv"
        export_csv(database, target, Selection(dimensions=by_both, is_filtered=is_filtered))
        assert f",{clicks},10,10.0\n" in target.read_text()
