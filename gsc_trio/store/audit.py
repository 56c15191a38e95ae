"""What the rows of a day are and what its ledger says, side by side, for `gsc_trio.verify`.

Responsible for: counting. Must never: judge, or change anything.

Cost: a day's rows are read once for their sums and its pages, and sorted once to find doubles:
about 0.1 s for 50,000 rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from gsc_trio.store.schema import column_of, table_of
from gsc_trio.store.sql import SqlConnection


@attrs.frozen
class AuditedPage:
    """A page of the ledger, and its rows."""

    start_row: int
    row_limit: int
    """How many rows were asked for."""
    row_count: int
    """How many it brought, by the ledger."""
    data_state: str
    rows_found: int
    """Rows that the table has in the page's place."""


@attrs.frozen
class AuditedDay:
    """A day of one dataset."""

    data_date: dt.date
    pages: Sequence[AuditedPage]
    """In the order of their rows; empty for rows that no ledger entry tells of."""
    rows: int
    """Rows in the table."""
    rows_doubled: int
    """Rows that have the same dimensions as another of the day."""
    clicks: int
    impressions: int

    @property
    def rows_in_ledger(self) -> int:
        """Rows that the pages brought; one that Google gave on two pages counts twice."""
        return sum(page.row_count for page in self.pages)

    @property
    def is_complete(self) -> bool:
        """Whether the pages follow each other from row 0 on, and the last is not a full one."""
        expected = 0
        for page in self.pages:
            if page.start_row != expected:
                return False
            expected += page.row_count
        return bool(self.pages) and self.pages[-1].row_count < self.pages[-1].row_limit

    @property
    def is_final(self) -> bool:
        """Whether all of it was fetched as final."""
        return all(page.data_state == "final" for page in self.pages)


def days_with_anything(
    connection: SqlConnection, dataset_id: int, dimensions: tuple[str, ...]
) -> list[dt.date]:
    """The days that are in the ledger or in the table, oldest first."""
    found = connection.execute(
        "SELECT data_date FROM page_ledger WHERE dataset_id = ? UNION "
        f"SELECT data_date FROM {table_of(dimensions)} WHERE dataset_id = ? ORDER BY 1",
        (dataset_id, dataset_id),
    )
    return [dt.date.fromisoformat(day) for (day,) in found]


def audit_day(
    connection: SqlConnection, dataset_id: int, dimensions: tuple[str, ...], day: dt.date
) -> AuditedDay:
    """Count a day."""
    table, key = table_of(dimensions), (dataset_id, day.isoformat())
    this_day = "dataset_id = ? AND data_date = ?"
    rows, clicks, impressions = connection.execute(
        f"SELECT count(*), {_sum('clicks')}, {_sum('impressions')} FROM {table} WHERE {this_day}",
        key,
    ).fetchone()
    columns = ", ".join(map(column_of, dimensions)) or "data_date"
    [[rows_doubled]] = connection.execute(
        f"SELECT {_sum('n - 1')} FROM (SELECT count(*) AS n FROM {table} "
        f"WHERE {this_day} GROUP BY {columns} HAVING count(*) > 1) AS doubled",
        key,
    ).fetchall()
    pages = connection.execute(
        "SELECT start_row, row_limit, row_count, data_state, "
        f"(SELECT count(*) FROM {table} WHERE {this_day} "
        "AND row_number >= start_row AND row_number < start_row + row_count) "
        f"FROM page_ledger WHERE {this_day} ORDER BY start_row",
        (*key, *key),
    )
    return AuditedDay(
        data_date=day,
        pages=[AuditedPage(*values) for values in pages],
        rows=rows,
        rows_doubled=rows_doubled,
        clicks=clicks,
        impressions=impressions,
    )


def _sum(expression: str) -> str:
    """A sum of whole numbers, as a whole number: Postgres' own may be longer."""
    return f"CAST(coalesce(sum({expression}), 0) AS bigint)"
