"""The table of runs that are over: what each did, as a record that `gsc_trio.report` makes.

A run enters it at its end, and so a run that was killed never does: what is known of that is in
the ledger and in the in-flight registry.

Must never: begin or end a transaction; the store does.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from gsc_trio.store.base import RecordedRun
from gsc_trio.store.schema import dimensions_as_text, dimensions_from_text
from gsc_trio.store.sql import SqlConnection

RUNS_KEPT = 100
"""How many runs are remembered: a record takes some tens of kilobytes, and a run may come daily."""

_COLUMNS = "site_url, search_type, dimensions, status, started_at, duration_seconds, record"


def write_run(connection: SqlConnection, run: RecordedRun) -> int:
    """Enter a run and forget those that are too old; returns its number."""
    [[number]] = connection.execute(
        f"INSERT INTO run ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING number",
        (
            run.site_url,
            run.search_type,
            dimensions_as_text(run.dimensions),
            run.status,
            run.started_at.isoformat(timespec="seconds"),
            run.duration_seconds,
            run.record,
        ),
    ).fetchall()
    connection.execute("DELETE FROM run WHERE number <= ?", (number - RUNS_KEPT,))
    return int(number)


def read_runs(connection: SqlConnection) -> list[RecordedRun]:
    """All runs, the latest first, without their records."""
    columns = _COLUMNS.replace("record", "''")
    found = connection.execute(f"SELECT number, {columns} FROM run ORDER BY number DESC")
    return [_run(values) for values in found]


def read_run(connection: SqlConnection, number: int | None) -> RecordedRun | None:
    """A run by its number, or the latest one."""
    select = f"SELECT number, {_COLUMNS} FROM run"
    if number is None:
        found = connection.execute(f"{select} ORDER BY number DESC LIMIT 1").fetchone()
    else:
        found = connection.execute(f"{select} WHERE number = ?", (number,)).fetchone()
    return _run(found) if found else None


def _run(values: tuple[Any, ...]) -> RecordedRun:
    number, site_url, search_type, dimensions, status, started_at, seconds, record = values
    return RecordedRun(
        site_url=site_url,
        search_type=search_type,
        dimensions=dimensions_from_text(dimensions),
        status=status,
        started_at=dt.datetime.fromisoformat(started_at),
        duration_seconds=seconds,
        record=record,
        number=number,
    )
