"""What is done and what is under way: datasets, the ledger of pages, the in-flight registry.

Responsible for: the small tables' SQL, and reading from the ledger where a day goes on.
Must never: begin or end a transaction; the store does, so that rows and ledger go together.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs

from gsc_trio.filters import filters_as_text, filters_from_text
from gsc_trio.model import InFlightChanges, Job, Page, SearchAnalyticsQuery
from gsc_trio.store.base import Coverage, StoredDay
from gsc_trio.store.schema import (
    DATASET_IDENTITY,
    as_sqlite_utils,
    create_rows_table,
    dimensions_as_text,
    dimensions_from_text,
)


@attrs.frozen
class _LedgerEntry:
    data_date: str
    start_row: int
    row_limit: int
    row_count: int
    data_state: str


def ensure_dataset(connection: sqlite3.Connection, query: SearchAnalyticsQuery) -> int:
    """The number of a query's dataset; it and its table are created if they are not there."""
    dataset_id = find_dataset(connection, query)
    if dataset_id is not None:
        return dataset_id
    placeholders = ", ".join("?" * len(DATASET_IDENTITY))
    cursor = connection.execute(
        f"INSERT INTO dataset ({', '.join(DATASET_IDENTITY)}) VALUES ({placeholders}) "  # noqa: S608
        "RETURNING id",
        _identity(query),
    )
    [new_id] = cursor.fetchone()
    cursor.close()
    create_rows_table(as_sqlite_utils(connection), query.dimensions)
    return int(new_id)


def find_dataset(connection: sqlite3.Connection, query: SearchAnalyticsQuery) -> int | None:
    """The number of a query's dataset, if there is one."""
    where = " AND ".join(f"{column} = ?" for column in DATASET_IDENTITY)
    select = f"SELECT id FROM dataset WHERE {where}"  # noqa: S608
    found = connection.execute(select, _identity(query)).fetchone()
    return int(found[0]) if found else None


def _identity(query: SearchAnalyticsQuery) -> tuple[str, ...]:
    """What a query has for each column of `DATASET_IDENTITY`."""
    return (
        query.site_url,
        query.search_type,
        dimensions_as_text(query.dimensions),
        query.aggregation_type,
        filters_as_text(query.filters),
    )


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
            *_job_key(dataset_id, page.job),
            page.row_limit,
            len(page.rows),
            data_state,
            _now(),
        ),
    )


def stored_days(
    connection: sqlite3.Connection,
    dataset_id: int,
    *,
    data_state: str,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
) -> dict[dt.date, StoredDay]:
    """What there is of each day from start to end, for a query with this data state."""
    entries_of_day: dict[str, list[_LedgerEntry]] = defaultdict(list)
    for values in connection.execute(
        "SELECT data_date, start_row, row_limit, row_count, data_state FROM page_ledger "
        "WHERE dataset_id = ? AND data_date BETWEEN ? AND ? ORDER BY data_date, start_row",
        (dataset_id, start.isoformat(), end.isoformat()),
    ):
        entry = _LedgerEntry(*values)
        entries_of_day[entry.data_date].append(entry)
    days = {}
    for data_date, entries in entries_of_day.items():
        # Rows do not know which page they came on, so one page that may not have been final
        # puts the whole day in doubt.
        if data_state == "final" and any(entry.data_state != "final" for entry in entries):
            continue
        day = _follow(entries)
        if day is not None:
            days[dt.date.fromisoformat(data_date)] = day
    return days


def _follow(entries: Iterable[_LedgerEntry]) -> StoredDay | None:
    """Go from page to page, from row 0, as long as each begins where the last one ended.

    A page is the day's last by its own ``row_limit``, which may differ from run to run.
    """
    by_start = {entry.start_row: entry for entry in entries}
    rows = 0
    while (entry := by_start.get(rows)) is not None:
        rows += entry.row_count
        if entry.row_count < entry.row_limit:
            return StoredDay(rows, is_complete=True)
    return StoredDay(rows, is_complete=False) if rows else None


def apply_changes(
    connection: sqlite3.Connection, dataset_id: int, changes: InFlightChanges
) -> None:
    """Bring the registry's copy up to date: what went back leaves, then what was taken enters."""
    for job in changes.returned:
        remove_job(connection, dataset_id, job)
    now = _now()
    connection.executemany(
        "INSERT OR REPLACE INTO in_flight "
        "(dataset_id, data_date, start_row, worker, since_at) VALUES (?, ?, ?, ?, ?)",
        [(*_job_key(dataset_id, job), worker, now) for job, worker in changes.taken],
    )


def remove_job(connection: sqlite3.Connection, dataset_id: int, job: Job) -> None:
    """Take a job out of the registry."""
    connection.execute(
        "DELETE FROM in_flight WHERE dataset_id = ? AND data_date = ? AND start_row = ?",
        _job_key(dataset_id, job),
    )


def clear_in_flight(connection: sqlite3.Connection, dataset_id: int) -> None:
    """Empty the registry of a dataset."""
    connection.execute("DELETE FROM in_flight WHERE dataset_id = ?", (dataset_id,))


def read_coverage(connection: sqlite3.Connection) -> list[Coverage]:
    """What there is of every dataset that has anything, in the order of their identities."""
    in_flight: Mapping[int, tuple[int, str]] = {
        dataset_id: (count, since)
        for dataset_id, count, since in connection.execute(
            "SELECT dataset_id, count(*), min(since_at) FROM in_flight GROUP BY dataset_id"
        )
    }
    datasets = connection.execute(
        "SELECT id, site_url, search_type, dimensions, aggregation_type, filters FROM dataset "
        "ORDER BY site_url, search_type, dimensions, aggregation_type, filters"
    ).fetchall()
    found = []
    for dataset_id, site_url, search_type, dimensions, aggregation_type, filters in datasets:
        days = stored_days(connection, dataset_id, data_state="all")
        if not days and dataset_id not in in_flight:
            continue
        complete = sum(day.is_complete for day in days.values())
        first, last = min(days, default=None), max(days, default=None)
        span = (last - first).days + 1 if first and last else 0
        jobs, since = in_flight.get(dataset_id, (0, None))
        found.append(
            Coverage(
                site_url=site_url,
                search_type=search_type,
                dimensions=dimensions_from_text(dimensions),
                days_complete=complete,
                days_missing=span - complete,
                rows=sum(day.rows for day in days.values()),
                first_day=first,
                last_day=last,
                in_flight=jobs,
                in_flight_since=dt.datetime.fromisoformat(since) if since else None,
                aggregation_type=aggregation_type,
                filters=filters_from_text(filters),
            )
        )
    return found


def _job_key(dataset_id: int, job: Job) -> tuple[int, str, int]:
    return dataset_id, job.data_date.isoformat(), job.start_row


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
