"""Rows into a table, fast, and none of them twice.

Responsible for: the bulk insert, what a row's numbers become on the way, and that a day never has
two rows with the same dimensions.
Must never: change text, or let a row fill the columns of another.

1. Rows are numbered as Google gave them, and the number is their key: a page from row n on takes
   the place of whatever the day had from row n on. So writing a page again changes nothing, and
   rows are appended where the table ends. With the dimensions as the key every row had to look for
   its place among a day's others, which took as long again as everything else together.
2. Google's pages are not a snapshot: a row can move from one page to the next while they are
   fetched. The later page wins: once its rows are in, those of the day's earlier pages that have
   the same dimensions go. Within a page the last of equal rows counts.
3. Python's sqlite3 gives up the interpreter lock once for each execution of a statement, and may
   wait long to get it back while the event loop decodes answers. `executemany` executes once for
   each row: beside a decoding thread it falls to a tenth of its speed. So rows are inserted in
   large ``VALUES`` lists. A fifth of a full page is the largest, each other size is half of one, so
   that a page of any length is a few executions of statements that are parsed once: parsing costs
   about 2 µs a row. For the same reason the arithmetic is SQL's: it is done without that lock.

Cost: O(rows). About 35 ms for a full page of 25,000 rows of page and query, and as much again where
its rows are looked for in the pages before.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import attrgetter

import attrs

from gsc_trio.errors import StorageError
from gsc_trio.model import Row
from gsc_trio.store.schema import column_of, table_of

LARGEST_CHUNK_ROWS = 5_000
"""A full page is five of them. With three dimensions that is within SQLite's own limit of 32,766
variables in a statement; with more, half of it is."""

_MEASURE_COUNT = 3
"""clicks, impressions, position."""

_WHOLE_NUMBER = "CASE WHEN abs({0}) < 9e18 THEN CAST(round({0}) AS INTEGER) END"
"""NULL, which the column refuses, for what no integer can hold."""

_SqlValue = str | int | float | None
_Chunk = tuple[int, list[_SqlValue]]
"""How many rows, and their values, row by row."""

_keys_of = attrgetter("keys")


def hashes_of(rows: Sequence[Row]) -> array[int]:
    """A hash of each row's dimensions; in this process equal ones have equal hashes."""
    return array("q", list(map(hash, map(_keys_of, rows))))  # from a list it is made at once


def check_widths(rows: Sequence[Row], width: int, day: object) -> None:
    """Refuse rows with other than so many keys.

    Raises:
        StorageError: there is one. One too long and one too short would together fill the right
            number of columns.
    """
    if set(map(len, map(_keys_of, rows))) - {width}:
        raise StorageError(f"a row of {day} does not have {width} keys: nothing was written")


def without_equals(rows: Sequence[Row], hashes: array[int]) -> Sequence[Row]:
    """Of rows with the same dimensions only the last, in the place of the first."""
    if len(set(hashes)) == len(rows):  # else there are equal rows, or a rare chance
        return rows
    return list({row.keys: row for row in rows}.values())


@attrs.frozen
class PreparedRows:
    """A page's rows as the statements take them that insert them, none of them twice."""

    hashes: array[int]
    """Of the rows as they came."""
    chunks: Sequence[_Chunk]


def prepare_in_steps(
    rows: Sequence[Row], width: int, day: object, *, max_variables: int
) -> Iterator[PreparedRows | None]:
    """Prepare rows in steps of a fifth of a full page at the most: two milliseconds.

    Args:
        rows: a page's.
        width: how many keys each of them has.
        day: of whose rows to speak if there is one that has not.
        max_variables: how many a statement may have.

    Returns:
        None after each step, and the rows at last.

    Raises:
        StorageError: a row has more or fewer keys.
    """
    size = _largest_chunk(max_variables, width + _MEASURE_COUNT)
    hashes, chunks = array("q"), list[_Chunk]()
    for part in _parts(rows, size):
        check_widths(part, width, day)
        hashes += hashes_of(part)
        chunks.append(_chunk(part))
        yield None
    distinct = without_equals(rows, hashes)
    if distinct is not rows:  # it hardly ever happens
        chunks = [_chunk(part) for part in _parts(distinct, size)]
    yield PreparedRows(hashes, chunks)


def max_variables_of(connection: sqlite3.Connection) -> int:
    """How many variables a statement may have."""
    return connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)


def replace_rows(
    connection: sqlite3.Connection,
    dimensions: tuple[str, ...],
    dataset_id: int,
    data_date: str,
    start_row: int,
    rows: PreparedRows,
    *,
    may_repeat: bool = True,
) -> int:
    """Put a page's rows in the place of what a day has from its first row on.

    Args:
        connection: in the caller's transaction.
        dimensions: what the rows' keys are.
        dataset_id: whose rows they are.
        data_date: their day.
        start_row: how many rows of the day come before the page.
        rows: the page.
        may_repeat: whether some of them may be in the day's earlier pages; see
            `gsc_trio.store.open_days`.

    Returns:
        How many rows of the day's earlier pages went, since this page repeats them.

    Raises:
        sqlite3.Error: SQLite cannot take them.
        ValueError: a lone surrogate.
    """
    page = (dataset_id, data_date, start_row)
    connection.execute(
        f"DELETE FROM {table_of(dimensions)} "
        "WHERE dataset_id = ? AND data_date = ? AND row_number >= ?",
        page,
    )
    for count, values in rows.chunks:
        connection.execute(
            _insert_statement(dimensions, count), [dataset_id, data_date, start_row, *values]
        )
        start_row += count
    if rows.chunks and may_repeat and page[2] > 0:
        return connection.execute(_delete_older_statement(dimensions), page).rowcount
    return 0


def _chunk(rows: Sequence[Row]) -> _Chunk:
    # Row by row, since each is a few hundred bytes that the processor has to bring in from memory:
    # going through them column by column brings them in once for each column.
    values: list[_SqlValue] = []
    extend = values.extend
    for row in rows:
        extend(row.keys)
        extend((row.clicks, row.impressions, row.position))
    return len(rows), values


def _largest_chunk(max_variables: int, values_per_row: int) -> int:
    # 3: the dataset, the day and the first row's number are given once for the whole statement.
    size = LARGEST_CHUNK_ROWS
    while size * values_per_row > max_variables - 3 and size > 1:
        size //= 2
    return size


def _parts(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    start = 0
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@lru_cache(maxsize=512)
def _insert_statement(dimensions: tuple[str, ...], row_count: int) -> str:
    width = len(dimensions)
    columns = ["row_number", *map(column_of, dimensions), "clicks", "impressions", "sum_position"]
    keys = [f"column{number}" for number in range(2, 2 + width)]
    clicks, impressions, position = (f"column{2 + width + number}" for number in range(3))
    selected = [
        "? + column1",
        *keys,
        _WHOLE_NUMBER.format(clicks),
        _WHOLE_NUMBER.format(impressions),
        # Counted from 0, as BigQuery's export does. SQLite stores -0.0 as 0.0.
        f"({position} - 1.0) * round({impressions})",
    ]
    placeholders = ", ".join("?" * (width + _MEASURE_COUNT))
    rows = ", ".join(f"({number}, {placeholders})" for number in range(row_count))
    return (
        f"INSERT INTO {table_of(dimensions)} (dataset_id, data_date, {', '.join(columns)}) "
        f"SELECT ?, ?, {', '.join(selected)} FROM (VALUES {rows})"
    )


def _delete_older_statement(dimensions: tuple[str, ...]) -> str:
    """Deletes a day's rows before ``?3`` whose dimensions are among those from there on."""
    table = table_of(dimensions)
    columns = ", ".join(map(column_of, dimensions)) or "1"
    day = "dataset_id = ?1 AND data_date = ?2"
    return (
        f"DELETE FROM {table} WHERE {day} AND row_number < ?3 AND ({columns}) IN "
        f"(SELECT {columns} FROM {table} WHERE {day} AND row_number >= ?3)"
    )
