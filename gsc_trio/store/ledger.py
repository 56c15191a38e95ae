"""What is done and what is under way: datasets, the ledger of pages, the in-flight registry.

Responsible for: the small tables' SQL. What only SQLite understands takes a `sqlite3.Connection`.
Must never: begin or end a transaction; the store does, so that rows and ledger go together.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from gsc_trio.model import InFlightChanges, Job, Page, SearchAnalyticsQuery
from gsc_trio.store.base import Coverage, StoredDay
from gsc_trio.store.days import LedgerEntry, coverage_of, days_of, identity_of
from gsc_trio.store.schema import DATASET_IDENTITY, as_sqlite_utils, create_rows_table
from gsc_trio.store.sql import SqlConnection, clock_text


def ensure_dataset(connection: sqlite3.Connection, query: SearchAnalyticsQuery) -> int:
    """The number of a query's dataset; it and its table are created if they are not there."""
    dataset_id = find_dataset(connection, query)
    if dataset_id is not None:
        return dataset_id
    placeholders = ", ".join("?" * len(DATASET_IDENTITY))
    cursor = connection.execute(
        f"INSERT INTO dataset ({', '.join(DATASET_IDENTITY)}) VALUES ({placeholders}) RETURNING id",
        identity_of(query),
    )
    [new_id] = cursor.fetchone()
    cursor.close()
    create_rows_table(as_sqlite_utils(connection), query.dimensions)
    return int(new_id)


def find_dataset(connection: SqlConnection, query: SearchAnalyticsQuery) -> int | None:
    """The number of a query's dataset, if there is one."""
    where = " AND ".join(f"{column} = ?" for column in DATASET_IDENTITY)
    select = f"SELECT id FROM dataset WHERE {where}"
    found = connection.execute(select, identity_of(query)).fetchone()
    return int(found[0]) if found else None


def forget_pages(
    connection: sqlite3.Connection, dataset_id: int, data_date: str, start_row: int
) -> None:
    """Delete the entries of a day's pages from a row on."""
    connection.execute(
        "DELETE FROM page_ledger WHERE dataset_id = ? AND data_date = ? AND start_row >= ?",
        (dataset_id, data_date, start_row),
    )


def record_page(
    connection: sqlite3.Connection, dataset_id: int, page: Page, data_state: str
) -> None:
    """Enter a page; it is done once this commits."""
    connection.execute(
        "INSERT INTO page_ledger (dataset_id, data_date, start_row, row_limit, "
        "row_count, data_state, committed_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            dataset_id,
            *_job_key(page.job),
            page.row_limit,
            len(page.rows),
            data_state,
            _now(),
        ),
    )


def doubt_days(connection: SqlConnection, dataset_id: int, days: Iterable[dt.date]) -> None:
    """Let days count as not final, so that a ``final`` query fetches them again."""
    connection.executemany(
        "UPDATE page_ledger SET data_state = 'all' "
        "WHERE dataset_id = ? AND data_date = ? AND data_state = 'final'",
        [(dataset_id, day.isoformat()) for day in days],
    )


def stored_days(
    connection: SqlConnection,
    dataset_id: int,
    *,
    data_state: str,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
) -> dict[dt.date, StoredDay]:
    """What there is of each day from start to end, for a query with this data state."""
    found = connection.execute(
        "SELECT data_date, start_row, row_limit, row_count, data_state FROM page_ledger "
        "WHERE dataset_id = ? AND data_date BETWEEN ? AND ? ORDER BY data_date, start_row",
        (dataset_id, start.isoformat(), end.isoformat()),
    )
    entries = (LedgerEntry(dt.date.fromisoformat(day), *others) for day, *others in found)
    return days_of(entries, data_state)


def apply_changes(
    connection: sqlite3.Connection, dataset_id: int, changes: InFlightChanges
) -> None:
    """Bring the registry's copy up to date: what went back leaves, then what was taken enters."""
    remove_jobs(connection, dataset_id, changes.returned)
    if changes.taken:
        # One execution, whatever their number: after each, a thread waits for the interpreter lock.
        taken = [(*_job_key(job), worker) for job, worker in changes.taken]
        connection.execute(
            "INSERT OR REPLACE INTO in_flight "
            "(dataset_id, data_date, start_row, worker, since_at) "
            f"SELECT ?, {_elements(3)}, ? FROM json_each(?)",
            (dataset_id, _now(), _json(taken)),
        )


def remove_jobs(connection: sqlite3.Connection, dataset_id: int, jobs: Sequence[Job]) -> None:
    """Take jobs out of the registry."""
    if jobs:
        connection.execute(
            "DELETE FROM in_flight WHERE dataset_id = ? AND (data_date, start_row) IN "
            f"(SELECT {_elements(2)} FROM json_each(?))",
            (dataset_id, _json(list(map(_job_key, jobs)))),
        )


def clear_in_flight(connection: SqlConnection, dataset_id: int) -> None:
    """Empty the registry of a dataset."""
    connection.execute("DELETE FROM in_flight WHERE dataset_id = ?", (dataset_id,))


def read_coverage(connection: SqlConnection) -> list[Coverage]:
    """What there is of every dataset that has anything, in the order of their identities."""
    in_flight: Mapping[int, tuple[int, str]] = {
        dataset_id: (count, since)
        for dataset_id, count, since in connection.execute(
            "SELECT dataset_id, count(*), min(since_at) FROM in_flight GROUP BY dataset_id"
        )
    }
    datasets = connection.execute(
        f"SELECT id, {', '.join(DATASET_IDENTITY)} FROM dataset "
        f"ORDER BY {', '.join(DATASET_IDENTITY)}"
    ).fetchall()
    found = []
    for dataset_id, *identity in datasets:
        days = stored_days(connection, dataset_id, data_state="all")
        if days or dataset_id in in_flight:
            jobs, since = in_flight.get(dataset_id, (0, None))
            began = dt.datetime.fromisoformat(since) if since else None
            found.append(coverage_of(tuple(identity), days, jobs, began))
    return found


def _job_key(job: Job) -> tuple[str, int]:
    return job.data_date.isoformat(), job.start_row


def _elements(count: int) -> str:
    """The elements of each array that ``json_each`` finds."""
    return ", ".join(f"json_extract(value, '$[{number}]')" for number in range(count))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _now() -> str:
    return clock_text(dt.datetime.now(dt.UTC))
