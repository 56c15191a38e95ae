"""Rows into a month's partition by ``COPY``, and none of them twice.

The rules are those of `gsc_trio.store.rows`: a row's key is its number in Google's answer, a page
takes the place of whatever its day had from its first row on, the later of equal rows wins. Rows
need no staging table: they are copied straight to where they stay.

Responsible for: the bytes that ``COPY`` takes, and what a row's numbers become on the way.
Must never: change text, or let a row fill the columns of another.

Cost: O(rows). To encode a full page of page and query takes about 25 ms, and the server needs 45 ms
to take it in: so that is done before the page's turn, while the server takes in another.
"""

from __future__ import annotations

import datetime as dt
import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from gsc_trio.model import Row
from gsc_trio.store.postgres.schema import Partition
from gsc_trio.store.rows import check_widths, hashes_of, without_equals
from gsc_trio.store.schema import column_of

CHUNK_ROWS = 2_048
"""How many rows are encoded at once."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Flags and the length of an extension: none. (Source: Postgres' manual, COPY, binary format)"""
END = b"\xff\xff"

_OTHER_FIELDS = 6
"""What a row has beside its dimensions."""

_POSTGRES_EPOCH = dt.date(2000, 1, 1).toordinal()

# Each value comes after its length in bytes: integers of 4, then text, then two of 8 and a double.
_length = struct.Struct(">i").pack
_head = struct.Struct(">hiiiiii").pack
_measures = struct.Struct(">iqiqid").pack
_measures_without_position = struct.Struct(">iqiqi").pack


def replace_rows(
    connection: psycopg.Connection[tuple[Any, ...]],
    dimensions: tuple[str, ...],
    day: dt.date,
    start_row: int,
    rows: EncodedRows,
    *,
    may_repeat: bool,
) -> int:
    """Put a page's rows in the place of what a day has from its first row on.

    Args:
        connection: in the caller's transaction; the day's partition is there.
        dimensions: what the rows' keys are.
        day: their day.
        start_row: how many rows of the day come before the page.
        rows: the page.
        may_repeat: whether some of them may be in the day's earlier pages; see
            `gsc_trio.store.open_days`.

    Returns:
        How many rows of the day's earlier pages went, since this page repeats them.

    Raises:
        psycopg.Error: Postgres cannot take them, as a NUL character, which it has no place for.
    """
    partition = Identifier(Partition.of(dimensions, day).name)
    page = {"dataset": rows.dataset_id, "day": day, "start": start_row}
    delete = SQL(
        "DELETE FROM {} WHERE dataset_id = %(dataset)s AND data_date = %(day)s "
        "AND row_number >= %(start)s"
    ).format(partition)
    connection.execute(delete, page)
    if not rows.pieces:
        return 0
    with connection.cursor().copy(_copy(partition, dimensions)) as sending:
        for data in (HEADER, *rows.pieces, END):
            sending.write(data)
    if may_repeat and start_row > 0:
        # Rows that have just come are in no statistics yet, and for the few that the planner
        # expects it would compare each with each: half a minute for a full page, not 25 ms.
        connection.execute("SET LOCAL enable_nestloop = off")
        return connection.execute(_delete_older(dimensions, partition), page).rowcount
    return 0


@attrs.frozen
class EncodedRows:
    """A page's rows, none of them twice."""

    dataset_id: int
    """Whose rows they are; it is in each of them."""
    hashes: array[int]
    """Of the rows as they came."""
    pieces: Sequence[bytes]
    """In the binary format of ``COPY``, to go between `HEADER` and `END`."""


def encode_in_steps(
    dataset_id: int, day: dt.date, start_row: int, rows: Sequence[Row], width: int
) -> Iterator[EncodedRows | None]:
    """Encode rows in steps of about two milliseconds.

    Args:
        dataset_id: whose rows they are.
        day: their day.
        start_row: how many rows of the day come before them.
        rows: a page's.
        width: how many keys each of them has.

    Returns:
        None after each step, and the rows at last.

    Raises:
        StorageError: a row has more or fewer keys.
        ValueError: a value that Postgres has no place for.
    """
    hashes, pieces = array("q"), list[bytes]()
    for first, part in _parts(rows):
        check_widths(part, width, day)
        hashes += hashes_of(part)
        pieces.append(_encoded(dataset_id, day, start_row + first, part))
        yield None
    distinct = without_equals(rows, hashes)
    if distinct is not rows:  # it hardly ever happens
        pieces = [
            _encoded(dataset_id, day, start_row + first, part) for first, part in _parts(distinct)
        ]
    yield EncodedRows(dataset_id, hashes, pieces)


def _parts(rows: Sequence[Row]) -> Iterator[tuple[int, Sequence[Row]]]:
    for first in range(0, len(rows), CHUNK_ROWS):
        yield first, rows[first : first + CHUNK_ROWS]


def _encoded(dataset_id: int, day: dt.date, start_row: int, rows: Sequence[Row]) -> bytes:
    days = day.toordinal() - _POSTGRES_EPOCH
    field_count = _OTHER_FIELDS + len(rows[0].keys)
    values: list[bytes] = []
    add = values.append
    try:
        for number, row in enumerate(rows, start_row):
            add(_head(field_count, 4, dataset_id, 4, days, 4, number))
            for key in row.keys:
                text = key.encode()
                add(_length(len(text)))
                add(text)
            clicks, impressions = round(row.clicks), round(row.impressions)
            if row.position is None:
                add(_measures_without_position(8, clicks, 8, impressions, -1))
            else:  # counted from 0, as BigQuery's export does
                sum_position = (row.position - 1.0) * impressions
                add(_measures(8, clicks, 8, impressions, 8, sum_position))
    except struct.error as error:
        raise ValueError(f"a number of {day} is too large: {error}") from None
    return b"".join(values)


def _copy(partition: Identifier, dimensions: tuple[str, ...]) -> Composed:
    columns = [
        *("dataset_id", "data_date", "row_number"),
        *map(column_of, dimensions),
        *("clicks", "impressions", "sum_position"),
    ]
    return SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        partition, SQL(", ").join(map(Identifier, columns))
    )


def _delete_older(dimensions: tuple[str, ...], partition: Identifier) -> Composed:
    """Deletes a day's rows before ``start`` whose dimensions are among those from there on."""
    columns = (
        SQL(", ").join(map(Identifier, map(column_of, dimensions))) if dimensions else SQL("1")
    )
    return SQL(
        "DELETE FROM {table} WHERE dataset_id = %(dataset)s AND data_date = %(day)s "
        "AND row_number < %(start)s AND ({columns}) IN (SELECT {columns} FROM {table} "
        "WHERE dataset_id = %(dataset)s AND data_date = %(day)s AND row_number >= %(start)s)"
    ).format(table=partition, columns=columns)
