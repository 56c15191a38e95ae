"""A row comes out of the database as it went in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.model import Row
from gsc_trio.store.connection import open_connection
from gsc_trio.store.preparing import at_once
from gsc_trio.store.rows import max_variables_of, prepare_in_steps, replace_rows
from gsc_trio.store.schema import as_sqlite_utils, create_rows_table

DIMENSIONS = ("page", "query")
DAY = "2024-01-01"


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path: Path = tmp_path_factory.mktemp("rows") / "search.db"
    with closing(open_connection(path, create=True, read_only=False)) as opened:
        create_rows_table(as_sqlite_utils(opened), DIMENSIONS)
        yield opened


def write(connection: sqlite3.Connection, rows: list[Row], start_row: int = 0) -> None:
    connection.execute("BEGIN IMMEDIATE")
    steps = prepare_in_steps(rows, 2, DAY, max_variables=max_variables_of(connection))
    replace_rows(connection, DIMENSIONS, 1, DAY, start_row, at_once(steps))
    connection.execute("COMMIT")


def written_and_read(connection: sqlite3.Connection, rows: list[Row]) -> list[tuple[object, ...]]:
    write(connection, rows)
    return connection.execute(
        "SELECT page, query, clicks, impressions, sum_position, "
        "typeof(clicks), typeof(impressions), typeof(sum_position) "
        "FROM search_analytics_by_page_query ORDER BY page, query"
    ).fetchall()


def numbers_and_keys(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT row_number, page, query FROM search_analytics_by_page_query ORDER BY row_number"
    ).fetchall()


whole_numbers = st.integers(0, 10**12).map(float)
positions = st.none() | st.floats(1.0, 1_000.0)
rows = st.builds(
    Row,
    keys=st.tuples(st.text(max_size=20), st.text(max_size=20)),
    clicks=whole_numbers,
    impressions=whole_numbers,
    position=positions,
)


@given(st.lists(rows, max_size=12))
def test_any_row_survives_and_the_last_of_equal_keys_wins(
    connection: sqlite3.Connection, rows: list[Row]
) -> None:
    expected: dict[tuple[str, ...], tuple[object, ...]] = {}
    for row in rows:
        sum_position = None if row.position is None else (row.position - 1) * row.impressions
        expected[row.keys] = (
            *row.keys,
            int(row.clicks),
            int(row.impressions),
            sum_position,
            "integer",
            "integer",
            "null" if sum_position is None else "real",
        )
    assert written_and_read(connection, rows) == [expected[keys] for keys in sorted(expected)]


few_keys = st.tuples(st.sampled_from("abc"), st.sampled_from("abc"))


@given(st.lists(st.lists(few_keys, max_size=9), min_size=1, max_size=4), st.integers(0, 5))
def test_pages_that_share_rows_leave_each_row_once_as_the_latest_page_has_it(
    connection: sqlite3.Connection, pages: list[list[tuple[str, str]]], again: int
) -> None:
    starts = [sum(map(len, pages[:number])) for number in range(len(pages))]
    latest: dict[tuple[str, str], float] = {}
    for number, (start_row, page) in enumerate(zip(starts, pages, strict=True)):
        rows = [Row(keys, float(start_row + place)) for place, keys in enumerate(page)]
        latest.update(zip(page, (row.clicks for row in rows), strict=True))
        for _ in range(1 + (again == number)):
            write(connection, rows, start_row)
    stored = connection.execute(
        "SELECT page, query, clicks FROM search_analytics_by_page_query"
    ).fetchall()
    assert sorted(stored) == sorted((*keys, clicks) for keys, clicks in latest.items())


def test_rows_are_numbered_as_google_gave_them(connection: sqlite3.Connection) -> None:
    write(connection, [Row(("p", "z")), Row(("p", "a"))])
    write(connection, [Row(("p", "m"))], 2)
    assert numbers_and_keys(connection) == [(0, "p", "z"), (1, "p", "a"), (2, "p", "m")]


def test_a_page_that_is_written_again_leaves_nothing_behind_it(
    connection: sqlite3.Connection,
) -> None:
    write(connection, [Row(("p", "a")), Row(("p", "b"))])
    write(connection, [Row(("p", "c")), Row(("p", "d"))], 2)
    write(connection, [Row(("p", "e"))], 2)
    assert numbers_and_keys(connection) == [(0, "p", "a"), (1, "p", "b"), (2, "p", "e")]


def test_numbers_that_are_not_whole_are_rounded(connection: sqlite3.Connection) -> None:
    [values] = written_and_read(connection, [Row(("a", "b"), 2.0000001, 6.9999999, 2.0)])
    assert values[2:5] == (2, 7, 7.0)


def test_a_position_of_one_is_a_sum_of_plain_zero(connection: sqlite3.Connection) -> None:
    [values] = written_and_read(connection, [Row(("a", "b"), 0.0, 0.0, 0.5)])
    assert str(values[4]) == "0.0"
