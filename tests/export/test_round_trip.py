"""Whatever is in the database comes out of every export, value for value and row for row."""

from __future__ import annotations

import csv
import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gsc_trio.export import (
    Selection,
    export_csv,
    export_duckdb,
    export_parquet,
    open_arrow_reader,
    read_arrow,
)
from gsc_trio.model import Row, SearchAnalyticsQuery
from tests.export.databases import BY_PAGE_AND_QUERY, DAY, days_before, rows_of, write_days

SITES = ["sc-domain:example.com", "https://example.com/a%20b/ü+&=/"]

texts = st.text(st.characters(codec="utf-8"), max_size=12)
rows = st.builds(
    Row,
    st.tuples(texts.map(lambda text: f"https://example.com/{text}"), texts),
    st.integers(0, 2**53).map(float),
    st.integers(0, 2**53).map(float),
    st.none() | st.floats(1, 1_000),
)
days = st.dictionaries(
    st.integers(0, 400).map(days_before),
    st.lists(rows, max_size=4, unique_by=lambda row: row.keys),
    min_size=1,
    max_size=3,
)

HOSTILE = {
    DAY: [
        Row(
            ("https://example.com/" + "very/long/" * 500, "line\nbreak\r\n, \"quoted\" 'it'"), 9, 9
        ),
        Row(
            ("https://example.com/?q=%F0%9F%A6%8A&x=a b", "🦊👩‍👩‍👧 é e\u0301 \u202eabc"), 8, 8, 1.1
        ),
        Row(("https://example.com/", "nul\0inside\0"), 7, 7, 1 + 2**-52),
        Row(("https://example.com/a", ""), 6, 0, 999.999),
        Row(("https://example.com/c", "carriage\rreturn"), 6, 1, 2.0),
        Row(("https://example.com/b", "=cmd|' /C calc'!A0"), 5, 2**53, 1.0),
    ],
    days_before(1): [],
}


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where syncing takes no time, if there is one."""
    place = Path("/dev/shm")  # a folder with a random name in it
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as name:
        yield Path(name)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(SITES), days)
@example(SITES[0], HOSTILE)
@example(SITES[1], HOSTILE)
def test_every_value_comes_out_of_every_export(
    memory: Path, site: str, content: dict[dt.date, list[Row]]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=memory))
    database = folder / "gsc.db"
    query = SearchAnalyticsQuery(site)
    write_days(database, content, query)
    expected = rows_of(database)
    for summary in (
        export_parquet(database, folder / "parquet"),
        export_csv(database, folder / "rows.csv"),
        export_duckdb(database, folder / "rows.duckdb"),
    ):
        assert (summary.days_written, summary.rows_written) == (len(content), len(expected))
    assert from_parquet(folder / "parquet") == expected
    assert from_csv(folder / "rows.csv") == expected
    assert from_duckdb(folder / "rows.duckdb") == expected
    assert from_arrow(read_arrow(database, query), site) == expected
    assert sorted_rows(parquet_by_duckdb(folder / "parquet")) == sorted_rows(expected)
    assert sorted_rows(parquet_by_polars(folder / "parquet")) == sorted_rows(expected)


def from_parquet(folder: Path) -> list[tuple[object, ...]]:
    """In the order of the files, oldest day first; what is in their paths is a column again."""
    table = pq.read_table(folder / "search_analytics_by_page_query")
    names = ["data_date", "site_url", "search_type", "url", "query"]
    columns = table.select([*names, "clicks", "impressions", "sum_position"]).to_pydict()
    return list(zip(*columns.values(), strict=True))


def from_csv(path: Path) -> list[tuple[object, ...]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == [
        *("data_date", "site_url", "search_type", "url", "query"),
        *("clicks", "impressions", "sum_position"),
    ]
    return [
        (*texts, int(clicks), int(impressions), float(position) if position else None)
        for *texts, clicks, impressions, position in lines
    ]


COLUMNS = """CAST(data_date AS VARCHAR), site_url, search_type, url, query, clicks, impressions,
sum_position"""


def from_duckdb(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        view = "searchdata_url_impression WHERE dimensions = 'page,query'"
        return connection.execute(f"SELECT {COLUMNS} FROM {view} ORDER BY data_date").fetchall()


def parquet_by_duckdb(folder: Path) -> list[tuple[object, ...]]:
    files = str(folder / "search_analytics_by_page_query" / "**" / "*.parquet")
    return duckdb.execute(
        f"SELECT {COLUMNS} FROM read_parquet(?, hive_partitioning = true)", [files]
    ).fetchall()


def parquet_by_polars(folder: Path) -> list[tuple[object, ...]]:
    frame = polars.read_parquet(folder / "search_analytics_by_page_query", hive_partitioning=True)
    names = ["data_date", "site_url", "search_type", "url", "query"]
    frame = frame.select(*names, "clicks", "impressions", "sum_position")
    return [(str(day), *values) for day, *values in frame.rows()]


def from_arrow(table: Any, site: str) -> list[tuple[object, ...]]:
    columns = table.to_pydict().values()
    return [(str(day), site, "web", *values) for day, *values in zip(*columns, strict=True)]


def sorted_rows(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Engines that read files side by side keep no order."""
    return sorted(rows, key=repr)


def test_columns_have_the_types_of_what_they_hold(tmp_path: Path) -> None:
    database = tmp_path / "gsc.db"
    write_days(database, HOSTILE)
    table = read_arrow(database, BY_PAGE_AND_QUERY)
    assert table.schema == pa.schema(
        [
            pa.field("data_date", pa.date32(), nullable=False),
            pa.field("url", pa.string(), nullable=False),
            pa.field("query", pa.string(), nullable=False),
            pa.field("clicks", pa.int64(), nullable=False),
            pa.field("impressions", pa.int64(), nullable=False),
            pa.field("sum_position", pa.float64()),
        ]
    )
    assert table.to_pandas().clicks.sum() == 41
    frame = polars.from_arrow(table)
    assert isinstance(frame, polars.DataFrame)
    assert frame["query"].to_list() == [row.keys[1] for row in HOSTILE[DAY]]


def test_arrow_comes_day_by_day_and_only_the_days_that_are_asked_for(tmp_path: Path) -> None:
    database = tmp_path / "gsc.db"
    content = {days_before(n): [Row((f"page {n}", "q"), 1.0, 2.0, 3.0)] for n in range(5)}
    write_days(database, content)
    chosen = {"start": days_before(3), "end": days_before(1)}
    with open_arrow_reader(database, BY_PAGE_AND_QUERY, **chosen) as reader:
        assert [batch.num_rows for batch in reader] == [1, 1, 1]
    table = read_arrow(database, BY_PAGE_AND_QUERY, **chosen)
    assert table["data_date"].to_pylist() == [days_before(n) for n in (3, 2, 1)]
    with (
        open_arrow_reader(database, BY_PAGE_AND_QUERY) as days_to_sum,
        duckdb.connect() as connection,
    ):
        connection.register("days_to_sum", days_to_sum)
        assert connection.execute("SELECT sum(clicks) FROM days_to_sum").fetchone() == (5,)


@pytest.mark.parametrize("export", [export_parquet, export_duckdb])
def test_only_what_is_chosen_goes_out(tmp_path: Path, export: Any) -> None:
    database, target = tmp_path / "gsc.db", tmp_path / "target"
    row = [Row(("x",), 1.0, 2.0, 3.0)]
    for search_type in ("web", "image"):
        for dimensions in (("page",), ("query",)):
            query = SearchAnalyticsQuery(SITES[0], search_type, dimensions)
            write_days(database, {DAY: row, days_before(1): row}, query)
    selection = Selection(
        search_type="image", dimensions=frozenset({"query"}), start=DAY, site_url=SITES[0]
    )
    assert export(database, target, selection).days_written == 1
    assert export(database, tmp_path / "all").days_written == 8
