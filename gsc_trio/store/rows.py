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
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from operator import attrgetter

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

_keys_of = attrgetter("keys")


def hashes_of(rows: Sequence[Row]) -> set[int]:
    """A hash for each set of dimensions; in this process equal rows have equal ones."""
    return set(map(hash, map(_keys_of, rows)))


def check_widths(rows: Sequence[Row], width: int, day: object) -> None:
    """Refuse rows with other than so many keys.

    Raises:
        StorageError: there is one. One too long and one too short would together fill the right
            number of columns.
    """
    if set(map(len, map(_keys_of, rows))) - {width}:
        raise StorageError(f"a row of {day} does not have {width} keys: nothing was written")


def without_equals(rows: Sequence[Row], hashes: AbstractSet[int]) -> Sequence[Row]:
    """Of rows with the same dimensions only the last, in the place of the first."""
    if len(hashes) == len(rows):  # else there are equal rows, or a rare chance
        return rows
    return list({row.keys: row for row in rows}.values())


def replace_rows(
    connection: sqlite3.Connection,
    dimensions: tuple[str, ...],
    dataset_id: int,
    data_date: str,
    start_row: int,
    rows: Sequence[Row],
    *,
    hashes: AbstractSet[int],
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
        hashes: of the rows, as `hashes_of` gives them.
        may_repeat: whether some of them may be in the day's earlier pages; see
            `gsc_trio.store.open_days`.

    Returns:
        How many rows of the day's earlier pages went, since this page repeats them.

    Raises:
        StorageError: a row has more or fewer keys than there are dimensions.
        sqlite3.Error: SQLite cannot take them.
        ValueError: a lone surrogate.
    """
    table, width = table_of(dimensions), len(dimensions)
    check_widths(rows, width, data_date)
    page = (dataset_id, data_date, start_row)
    connection.execute(
        f"DELETE FROM {table} WHERE dataset_id = ? AND data_date = ? AND row_number >= ?",
        page,
    )
    rows = without_equals(rows, hashes)
    for chunk in _chunks(rows, _largest_chunk(connection, width + _MEASURE_COUNT)):
        connection.execute(
            _insert_statement(dimensions, len(chunk)),
            [dataset_id, data_date, start_row, *_values(chunk)],
        )
        start_row += len(chunk)
    if rows and may_repeat and page[2] > 0:
        return connection.execute(_delete_older_statement(dimensions), page).rowcount
    return 0


def _values(rows: Sequence[Row]) -> list[_SqlValue]:
    # Row by row, since each is a few hundred bytes that the processor has to bring in from memory:
    # going through them column by column brings them in once for each column.
    values: list[_SqlValue] = []
    extend = values.extend
    for row in rows:
        extend(row.keys)
        extend((row.clicks, row.impressions, row.position))
    return values


def _largest_chunk(connection: sqlite3.Connection, values_per_row: int) -> int:
    # 3: the dataset, the day and the first row's number are given once for the whole statement.
    limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 3
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
