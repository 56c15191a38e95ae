"""Whether two databases hold the same of a query, day by day.

Of each day all rows and ledger entries count, in the order of their keys, and everything in them
but clock times: what `gsc_trio.store.dump` writes of it. So days that are all equal are equal
dumps, also where one of the databases holds more days, or other properties. Memory does not grow
with the property.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path

import attrs
import msgspec

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.connection import open_connection
from gsc_trio.store.ledger import find_dataset, stored_days
from gsc_trio.store.schema import column_of, table_of

_ROWS_AT_ONCE = 10_000


@attrs.frozen
class DayContent:
    """What a database holds of a day."""

    rows: int
    digest: str
    """Of its rows and its ledger entries, in the order of their keys."""


@attrs.frozen
class DayDifference:
    """A day that is not the same in both."""

    data_date: dt.date
    rows: int
    expected_rows: int
    is_order_only: bool
    """Whether it is the same rows in another order, as Google may give rows with equal clicks."""


@attrs.frozen
class Comparison:
    """What came out."""

    days: int
    """Days that were compared."""
    rows: int
    """Rows of the database in question."""
    differences: tuple[DayDifference, ...]

    @property
    def days_with_other_counts(self) -> int:
        """Days that have more or fewer rows."""
        return sum(each.rows != each.expected_rows for each in self.differences)


@attrs.frozen
class Reference:
    """Some days of a database that others are to be equal to; they are read once.

    Args:
        path: the database.
        query: whose data is compared.
        days: which days.
    """

    path: Path
    query: SearchAnalyticsQuery
    days: Sequence[dt.date]

    @cached_property
    def contents(self) -> Mapping[dt.date, DayContent]:
        """What it holds."""
        return day_contents(self.path, self.query, self.days)

    def compare(self, path: Path) -> Comparison:
        """Compare another database with it.

        Args:
            path: the database in question.

        Raises:
            UsageError: one of them is no database of this package.
            StorageError: one of them cannot be read.
        """
        expected, found = self.contents, day_contents(path, self.query, self.days)
        differences = tuple(
            DayDifference(
                data_date=day,
                rows=found[day].rows,
                expected_rows=expected[day].rows,
                is_order_only=self._sorted_rows(path, day) == self._sorted_rows(self.path, day),
            )
            for day in self.days
            if found[day] != expected[day]
        )
        rows = sum(content.rows for content in found.values())
        return Comparison(len(self.days), rows, differences)

    def _sorted_rows(self, path: Path, day: dt.date) -> list[tuple[object, ...]]:
        """A day's rows without their numbers, in an order of their own."""
        with closing(open_connection(path, create=False, read_only=True)) as connection:
            dataset_id = find_dataset(connection, self.query)
            if dataset_id is None:
                return []
            portions = _rows(connection, dataset_id, self.query.dimensions, day)
            return sorted((row[1:] for rows in portions for row in rows), key=repr)


def day_contents(
    path: Path, query: SearchAnalyticsQuery, days: Iterable[dt.date]
) -> Mapping[dt.date, DayContent]:
    """Read some days of a database; a day that is not there has no rows."""
    with closing(open_connection(path, create=False, read_only=True)) as connection:
        connection.execute("BEGIN")  # one state of the database
        dataset_id = find_dataset(connection, query)
        return {day: _content(connection, dataset_id, query.dimensions, day) for day in days}


def days_stored(path: Path, query: SearchAnalyticsQuery, days: Iterable[dt.date]) -> int:
    """How many of some days a database has anything of.

    Raises:
        UsageError: there is none, or it is not of this package and version.
    """
    with closing(open_connection(path, create=False, read_only=True)) as connection:
        dataset_id = find_dataset(connection, query)
        if dataset_id is None:
            return 0
        return len(set(stored_days(connection, dataset_id, data_state="all")).intersection(days))


def _content(
    connection: sqlite3.Connection,
    dataset_id: int | None,
    dimensions: tuple[str, ...],
    day: dt.date,
) -> DayContent:
    digest, count = hashlib.sha256(), 0
    if dataset_id is not None:
        ledger = connection.execute(
            "SELECT start_row, row_limit, row_count, data_state FROM page_ledger "
            "WHERE dataset_id = ? AND data_date = ? ORDER BY start_row",
            (dataset_id, day.isoformat()),
        ).fetchall()
        digest.update(msgspec.msgpack.encode(ledger))
        for rows in _rows(connection, dataset_id, dimensions, day):
            digest.update(msgspec.msgpack.encode(rows))
            count += len(rows)
    return DayContent(count, digest.hexdigest())


def _rows(
    connection: sqlite3.Connection, dataset_id: int, dimensions: tuple[str, ...], day: dt.date
) -> Iterator[list[tuple[object, ...]]]:
    columns = ", ".join(
        ("row_number", *map(column_of, dimensions), "clicks", "impressions", "sum_position")
    )
    cursor = connection.execute(
        f"SELECT {columns} FROM {table_of(dimensions)} "
        "WHERE dataset_id = ? AND data_date = ? ORDER BY row_number",
        (dataset_id, day.isoformat()),
    )
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield rows
