"""Rows into a table, fast.

Responsible for: the bulk insert, and what a row's numbers become on the way.
Must never: change text, or let a row fill the columns of another.

Python's sqlite3 gives up the interpreter lock once for each execution of a statement, and may
wait long to get it back while the event loop decodes answers. `executemany` executes once for
each row: beside a decoding thread it falls to a tenth of its speed. So rows are inserted in large
``VALUES`` lists. Their sizes are powers of two, so that a page of any length is a few executions
of statements that are parsed once: parsing costs about 2 µs a row.

Cost: O(rows). About 60 ms for a full page of 25,000 rows of page and query.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache

from gsc_trio.errors import StorageError
from gsc_trio.model import Row
from gsc_trio.store.schema import column_of, table_of

LARGEST_CHUNK_ROWS = 4_096
"""With four dimensions this is within SQLite's own limit of 32,766 variables in a statement."""

_MEASURE_COUNT = 3
"""clicks, impressions, sum_position."""

_SqlValue = str | int | float | None


def delete_day(
    connection: sqlite3.Connection, dimensions: tuple[str, ...], dataset_id: int, data_date: str
) -> None:
    """Delete what a dataset has of a day."""
    connection.execute(
        f"DELETE FROM {table_of(dimensions)} WHERE dataset_id = ? AND data_date = ?",  # noqa: S608
        (dataset_id, data_date),
    )


def upsert_rows(
    connection: sqlite3.Connection,
    dimensions: tuple[str, ...],
    dataset_id: int,
    data_date: str,
    rows: Sequence[Row],
) -> None:
    """Insert rows; one that is there already, by its dimensions, is replaced.

    Google's pages are not a snapshot: a row can move from one page to the next while they are
    fetched. The later page wins.

    Raises:
        StorageError: a row has more or fewer keys than there are dimensions.
        sqlite3.Error: SQLite cannot take them.
        ValueError: a lone surrogate, or a number that is none.
        OverflowError: a number that no column can hold.
    """
    width = len(dimensions)
    if any(len(row.keys) != width for row in rows):
        # One too long and one too short would together fill the right number of columns.
        raise StorageError(f"a row of {data_date} does not have {width} keys: nothing was written")
    for chunk in _chunks(rows, _largest_chunk(connection, width + _MEASURE_COUNT)):
        connection.execute(
            _insert_statement(dimensions, len(chunk)), [dataset_id, data_date, *_values(chunk)]
        )


def _values(rows: Sequence[Row]) -> list[_SqlValue]:
    values: list[_SqlValue] = []
    extend = values.extend
    for row in rows:
        impressions = round(row.impressions)
        position = row.position
        # Counted from 0, as BigQuery's export does. SQLite stores -0.0 as 0.0.
        sum_position = None if position is None else (position - 1.0) * impressions
        extend((*row.keys, round(row.clicks), impressions, sum_position))
    return values


def _largest_chunk(connection: sqlite3.Connection, values_per_row: int) -> int:
    # 2: the dataset and the day are given once for the whole statement.
    limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 2
    size = LARGEST_CHUNK_ROWS
    while size * values_per_row > limit and size > 1:
        size //= 2
    return size


def _chunks(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    start = 0
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=512)
def _insert_statement(dimensions: tuple[str, ...], row_count: int) -> str:
    columns = [column_of(dimension) for dimension in dimensions]
    placeholders = ", ".join("?" * (len(columns) + _MEASURE_COUNT))
    rows = ", ".join([f"({placeholders})"] * row_count)
    names = ", ".join(("dataset_id", "data_date", *columns, "clicks, impressions, sum_position"))
    return (
        f"INSERT OR REPLACE INTO {table_of(dimensions)} ({names}) "  # noqa: S608
        f"SELECT ?, ?, * FROM (VALUES {rows})"
    )
