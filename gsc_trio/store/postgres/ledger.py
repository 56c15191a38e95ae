"""What is written to the ledger of pages and to the in-flight registry in Postgres.

Responsible for: the SQL that Postgres does in one round trip where SQLite needs none. What is read
is read by `gsc_trio.store.ledger`.
Must never: begin or end a transaction; the store does, so that rows and ledger go together.
"""

from __future__ import annotations

from typing import Any

import psycopg

from gsc_trio.model import InFlightChanges, Job, Page
from gsc_trio.store.days import Identity
from gsc_trio.store.schema import DATASET_IDENTITY

Connection = psycopg.Connection[tuple[Any, ...]]

_IDENTITY = ", ".join(DATASET_IDENTITY)


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
