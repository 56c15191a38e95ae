"""Who may write a shard's data: leases with a fencing token that only grows.

How it works. A shard is whatever the caller makes of it, as all properties of one user. Whoever
takes its lease gets a token, one more than the last one's. Each transaction of a store that was
opened with it begins by locking the lease's row against change and looking whether the token is
still the same. So what a worker writes is committed before the next one takes over, or never: a
worker that was paused for an hour, believes to be the only one and goes on does no harm. That
holds for the quota, too, since a grant is committed before its queries leave.

Whoever takes over does not wait for the one before: the server ends its session, which may be in
the midst of a transaction that will not go on.

Must never: trust a clock. Whether a holder still lives is for the caller to decide.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs
import psycopg
import trio
from psycopg import errors

from gsc_trio.errors import FencedError, StorageError
from gsc_trio.store.postgres.address import Address, read_address
from gsc_trio.store.postgres.errors import as_storage_error
from gsc_trio.store.postgres.locks import end_holders
from gsc_trio.store.postgres.schema import check_schema, migrate
from gsc_trio.store.postgres.session import connect

Connection = psycopg.Connection[tuple[Any, ...]]

_TRIES = 5


@attrs.frozen
class Fence:
    """The right to write a shard's data, until somebody else takes it."""

    shard: str
    token: int


@attrs.frozen
class Lease:
    """Who has a shard."""

    shard: str
    token: int
    holder: str
    taken_at: dt.datetime
    """In UTC."""


async def take_lease(dsn: str, shard: str, holder: str) -> Fence:
    """Take a shard, from whoever has it.

    Args:
        dsn: the database; its tables are made if they are not there.
        shard: its name.
        holder: who takes it, for people to read.

    Returns:
        What `gsc_trio.store.postgres.store.open_postgres_store` takes as ``fence``.

    Raises:
        UsageError: the address is no address, or the database is not ours.
        StorageError: the server cannot do it.
    """
    address = read_address(dsn)
    return await trio.to_thread.run_sync(partial(_take, address, shard, holder))


async def read_leases(dsn: str) -> Sequence[Lease]:
    """All leases, in the order of their shards.

    Raises:
        UsageError: the address is no address, or the database has no tables of ours.
        StorageError: the server cannot do it.
    """
    return await trio.to_thread.run_sync(partial(_read, read_address(dsn)))


def _take(address: Address, shard: str, holder: str) -> Fence:
    with connect(address, read_only=False) as connection:
        try:
            migrate(connection, address)
            return Fence(shard, _next_token(connection, shard, holder))
        except (psycopg.Error, ValueError) as error:
            raise as_storage_error(error, address, "write") from error


def _next_token(connection: Connection, shard: str, holder: str) -> int:
    for tries_left in reversed(range(_TRIES)):
        # First, since the holder may be stopped in mid-transaction, with the row locked.
        end_holders(connection, shard)
        try:
            [[token]] = connection.execute(
                "INSERT INTO shard_leases AS lease (shard, token, holder, taken_at) "
                "VALUES (%s, 1, %s, clock_timestamp()) ON CONFLICT (shard) DO UPDATE SET "
                "token = lease.token + 1, holder = excluded.holder, taken_at = excluded.taken_at "
                "RETURNING token",
                [shard, holder],
            ).fetchall()
            return int(token)
        except errors.LockNotAvailable:  # it began another transaction just then
            if not tries_left:
                raise
    raise StorageError(f"the lease of shard {shard!r} could not be taken")


def _read(address: Address) -> Sequence[Lease]:
    with connect(address, read_only=True) as connection:
        try:
            check_schema(connection, address, read_only=True)
            found = connection.execute(
                "SELECT shard, token, holder, taken_at FROM shard_leases ORDER BY shard"
            )
            return [
                Lease(shard, token, name, taken_at.astimezone(dt.UTC))
                for shard, token, name, taken_at in found
            ]
        except psycopg.Error as error:
            raise as_storage_error(error, address, "read") from error


def check_fence(connection: Connection, fence: Fence) -> None:
    """Make sure, for the rest of the transaction, that a shard is still one's own.

    Raises:
        FencedError: it is not.
    """
    row = connection.execute(
        "SELECT token, holder, taken_at FROM shard_leases WHERE shard = %s FOR SHARE", [fence.shard]
    ).fetchone()
    if row is None:
        raise FencedError(f"the lease of shard {fence.shard!r} was removed: nothing was written")
    token, holder, taken_at = row
    if token != fence.token:
        raise FencedError(
            f"shard {fence.shard!r} was taken over by {holder} at "
            f"{taken_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC: nothing was written"
        )
