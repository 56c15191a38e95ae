"""The counting of days in Postgres, as `gsc_trio.store.audit` does it.

Must never: judge, or change anything.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import psycopg

from gsc_trio.store.audit import AuditedDay, AuditedPage
from gsc_trio.store.schema import column_of, table_of

Connection = psycopg.Connection[tuple[Any, ...]]


def days_with_anything(
    connection: Connection, dataset_id: int, dimensions: tuple[str, ...]
) -> list[dt.date]:
    """The days that are in the ledger or in the table, oldest first."""
    found = connection.execute(
        "SELECT data_date FROM page_ledger WHERE dataset_id = %(id)s UNION "
        f"SELECT data_date FROM {table_of(dimensions)} WHERE dataset_id = %(id)s ORDER BY 1",
        {"id": dataset_id},
    )
    return [day for (day,) in found]


def audit_day(
    connection: Connection, dataset_id: int, dimensions: tuple[str, ...], day: dt.date
) -> AuditedDay:
    """Count a day."""
    table, key = table_of(dimensions), {"id": dataset_id, "day": day}
    this_day = "dataset_id = %(id)s AND data_date = %(day)s"
    [[rows, clicks, impressions]] = connection.execute(
        "SELECT count(*), coalesce(sum(clicks), 0)::bigint, "
        f"coalesce(sum(impressions), 0)::bigint FROM {table} WHERE {this_day}",
        key,
    ).fetchall()
    columns = ", ".join(map(column_of, dimensions)) or "data_date"
    [[rows_doubled]] = connection.execute(
        f"SELECT coalesce(sum(n - 1), 0)::bigint FROM (SELECT count(*) AS n FROM {table} "
        f"WHERE {this_day} GROUP BY {columns} HAVING count(*) > 1) AS doubled",
        key,
    ).fetchall()
    pages = connection.execute(
        "SELECT start_row, row_limit, row_count, data_state, "
        f"(SELECT count(*) FROM {table} WHERE {this_day} "
        "AND row_number >= start_row AND row_number < start_row + row_count) "
        f"FROM page_ledger WHERE {this_day} ORDER BY start_row",
        key,
    )
    return AuditedDay(
        data_date=day,
        pages=[AuditedPage(*values) for values in pages],
        rows=rows,
        rows_doubled=rows_doubled,
        clicks=clicks,
        impressions=impressions,
    )
