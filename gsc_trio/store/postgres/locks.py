"""Advisory locks: who writes to a dataset, and which sessions belong to a shard's holder.

They last as long as the session that took them, so there is no stale lock to tell from a live one.
A dataset's is told apart by the schema that its tables are in, since one database may have several.

Must never: wait for long in one statement. One that waits keeps the server from clearing up what
others have deleted meanwhile, in any table.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors

Connection = psycopg.Connection[tuple[Any, ...]]

WAIT_SECONDS = 10.0
"""How long one statement waits for a dataset's lock."""

_LEASE_CLASS = 0x67736C65
"""The letters ``gsle``."""

_DATASET_KEY = "hashtextextended(current_schema() || '/dataset/' || %(dataset)s, 0)"

_LEASE_KEY = "hashtext(current_schema() || '/' || %(shard)s)"

_HERE = (
    "locktype = 'advisory' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def hold_dataset(connection: Connection, dataset_id: int) -> str | None:
    """Take a dataset's lock for this session.

    Returns:
        Who has it, if that is somebody else.
    """
    key = {"dataset": dataset_id}
    [[is_taken]] = connection.execute(
        f"SELECT pg_try_advisory_lock({_DATASET_KEY})",
        key,
    ).fetchall()
    if is_taken:
        return None
    row = connection.execute(
        "SELECT application_name, backend_start FROM pg_locks "
        f"JOIN pg_stat_activity USING (pid) WHERE {_HERE} AND objsubid = 1 "
        f"AND (classid::bigint << 32) | objid::bigint = {_DATASET_KEY}",
        key,
    ).fetchone()
    if row is None:
        return "another session"
    name, since = row
    return f"{name or 'another session'} since {since:%Y-%m-%d %H:%M:%S} UTC"


def wait_for_dataset(connection: Connection, dataset_id: int) -> bool:
    """Take a dataset's lock for this session as soon as nobody else has it.

    Args:
        connection: outside of a transaction.
        dataset_id: whose lock.

    Returns:
        Whether it is taken; not after `WAIT_SECONDS` in which somebody else had it.
    """
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{WAIT_SECONDS:g}s'")
            # It is the session's, not the transaction's.
            connection.execute(f"SELECT pg_advisory_lock({_DATASET_KEY})", {"dataset": dataset_id})
    except errors.LockNotAvailable:
        return False
    return True


def hold_lease(connection: Connection, shard: str) -> None:
    """Mark this session as one of a shard's holder."""
    connection.execute(
        f"SELECT pg_advisory_lock_shared({_LEASE_CLASS}, {_LEASE_KEY})",
        {"shard": shard},
    )


def end_holders(connection: Connection, shard: str) -> None:
    """End the sessions of whoever holds a shard, without waiting until they are over."""
    connection.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {_HERE} AND objsubid = 2 "
        f"AND classid = {_LEASE_CLASS} "
        f"AND objid = ({_LEASE_KEY}::bigint & 4294967295)::oid",
        {"shard": shard},
    )
