"""Datasets, the ledger of pages and the in-flight registry in Postgres.

Responsible for: the small tables' SQL. What their entries mean is told in `gsc_trio.store.days`.
Must never: begin or end a transaction; the store does, so that rows and ledger go together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import psycopg

from gsc_trio.model import InFlightChanges, Job, Page
from gsc_trio.store.base import Coverage, StoredDay
from gsc_trio.store.days import Identity, LedgerEntry, coverage_of, days_of
from gsc_trio.store.schema import DATASET_IDENTITY

Connection = psycopg.Connection[tuple[Any, ...]]

_IDENTITY = ", ".join(DATASET_IDENTITY)


def find_dataset(connection: Connection, identity: Identity) -> int | None:
    """The number of a dataset, if there is one."""
    where = " AND ".join(f"{column} = %s" for column in DATASET_IDENTITY)
    row = connection.execute(f"SELECT id FROM dataset WHERE {where}", identity).fetchone()
    return int(row[0]) if row else None


def add_dataset(connection: Connection, identity: Identity) -> None:
    """Enter a dataset if it is not there."""
    placeholders = ", ".join(["%s"] * len(identity))
    connection.execute(
        f"INSERT INTO dataset ({_IDENTITY}) VALUES ({placeholders}) ON CONFLICT DO NOTHING",
        identity,
    )


def record_page(connection: Connection, dataset_id: int, page: Page, data_state: str) -> None:
    """Enter a page in the place of the day's entries from its first row on.

    It is done once this commits.
    """
    key = (dataset_id, page.job.data_date, page.job.start_row)
    # The page's own entry is updated, since one statement cannot delete and insert the same key.
    connection.execute(
        "WITH later AS (DELETE FROM page_ledger "
        "WHERE dataset_id = %s AND data_date = %s AND start_row > %s) "
        "INSERT INTO page_ledger "
        "(dataset_id, data_date, start_row, row_limit, row_count, data_state) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (dataset_id, data_date, start_row) "
        "DO UPDATE SET row_limit = excluded.row_limit, row_count = excluded.row_count, "
        "data_state = excluded.data_state, committed_at = excluded.committed_at",
        (*key, *key, page.row_limit, len(page.rows), data_state),
    )


def doubt_days(connection: Connection, dataset_id: int, days: Collection[dt.date]) -> None:
    """Let days count as not final, so that a ``final`` query fetches them again."""
    connection.execute(
        "UPDATE page_ledger SET data_state = 'all' "
        "WHERE dataset_id = %s AND data_date = ANY(%s) AND data_state = 'final'",
        (dataset_id, list(days)),
    )


def stored_days(
    connection: Connection,
    dataset_id: int,
    *,
    data_state: str,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
) -> dict[dt.date, StoredDay]:
    """What there is of each day from start to end, for a query with this data state."""
    found = connection.execute(
        "SELECT data_date, start_row, row_limit, row_count, data_state FROM page_ledger "
        "WHERE dataset_id = %s AND data_date BETWEEN %s AND %s ORDER BY data_date, start_row",
        (dataset_id, start, end),
    )
    return days_of((LedgerEntry(*values) for values in found), data_state)


def apply_changes(connection: Connection, dataset_id: int, changes: InFlightChanges) -> None:
    """Bring the registry's copy up to date: what went back leaves, then what was taken enters."""
    remove_jobs(connection, dataset_id, changes.returned)
    if changes.taken:
        connection.cursor().executemany(
            "INSERT INTO in_flight (dataset_id, data_date, start_row, worker) "
            "VALUES (%s, %s, %s, %s) ON CONFLICT (dataset_id, data_date, start_row) "
            "DO UPDATE SET worker = excluded.worker, since_at = excluded.since_at",
            [(dataset_id, job.data_date, job.start_row, worker) for job, worker in changes.taken],
        )


def remove_jobs(connection: Connection, dataset_id: int, jobs: tuple[Job, ...]) -> None:
    """Take jobs out of the registry."""
    if jobs:
        connection.execute(
            "DELETE FROM in_flight USING unnest(%s::date[], %s::integer[]) AS job (day, start) "
            "WHERE dataset_id = %s AND data_date = job.day AND start_row = job.start",
            ([job.data_date for job in jobs], [job.start_row for job in jobs], dataset_id),
        )


def clear_in_flight(connection: Connection, dataset_id: int) -> None:
    """Empty the registry of a dataset."""
    connection.execute("DELETE FROM in_flight WHERE dataset_id = %s", (dataset_id,))


def read_coverage(connection: Connection) -> list[Coverage]:
    """What there is of every dataset that has anything, in the order of their identities."""
    in_flight = {
        dataset_id: (count, since)
        for dataset_id, count, since in connection.execute(
            "SELECT dataset_id, count(*), min(since_at) FROM in_flight GROUP BY dataset_id"
        )
    }
    select = f"SELECT id, {_IDENTITY} FROM dataset ORDER BY {_IDENTITY}"
    found = []
    for dataset_id, *identity in connection.execute(select).fetchall():
        days = stored_days(connection, dataset_id, data_state="all")
        if days or dataset_id in in_flight:
            jobs, since = in_flight.get(dataset_id, (0, None))
            began = since.astimezone(dt.UTC) if since else None
            found.append(coverage_of(tuple(identity), days, jobs, began))
    return found
