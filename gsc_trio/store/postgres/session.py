"""A connection to Postgres that comes back, and transactions on it.

How it works. One connection, used by one thread at a time. A transaction that finds it gone before
it has begun makes a new one, so a server that was started anew in between is not even noticed. One
that is lost in mid-transaction is an error: nothing was written, or, if it was lost while the
commit was under way, nobody can know. That does no harm, since every write may be repeated; the
next run finds out.

Responsible for: what a session is set to, and telling errors in one line.
Must never: leave a transaction open when a method ends; repeat one whose commit may have been done.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg

from gsc_trio.errors import FencedError, StorageError, UsageError
from gsc_trio.store.postgres.address import CONNECT_TIMEOUT_SECONDS, Address
from gsc_trio.store.postgres.errors import REPEATABLE, as_lost, as_storage_error, is_lost

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]
Work = Callable[[Connection], T]

LOCK_TIMEOUT_SECONDS = 4.0
"""How long a statement waits for another session's transaction before it gives up."""

IDLE_TIMEOUT_SECONDS = 60.0
"""After how long the server ends a session that has begun a transaction and does nothing: that of a
process which was stopped, and whose locks would last for as long."""

_TRIES = 5
"""How often a transaction is done that the server undoes for the sake of others."""


def connect(address: Address, *, read_only: bool) -> Connection:
    """Open a session.

    Raises:
        UsageError: the database cannot hold what is to be kept.
        StorageError: there is no such server, database or user, or the password is wrong.
    """
    try:
        connection: Connection = psycopg.connect(address.conninfo, autocommit=True)
    except (psycopg.Error, ValueError) as error:
        raise as_storage_error(error, address, "open") from None
    try:
        _set_up(connection, address, read_only=read_only)
    except psycopg.Error as error:
        connection.close()
        raise as_storage_error(error, address, "open") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: Connection, address: Address, *, read_only: bool) -> None:
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise UsageError(f"{address} does not keep text as UTF-8: create it with ENCODING 'UTF8'")
    settings = {
        "application_name": f"gsc-trio process {os.getpid()} on {socket.gethostname()}"[:63],
        "lock_timeout": f"{LOCK_TIMEOUT_SECONDS:g}s",
        "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_SECONDS:g}s",
        "TimeZone": "UTC",
        "DateStyle": "ISO",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    [[durability]] = connection.execute("SHOW synchronous_commit").fetchall()
    if durability == "off":  # a page that counts as written must be on the disk
        settings["synchronous_commit"] = "on"
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])


class Session:
    """A connection that comes back; `open` makes the first one.

    Args:
        address: where to.
        read_only: whether it may only read.
        on_connect: called with each new connection.
        on_begin: called in each transaction that writes, before anything else.
    """

    def __init__(
        self,
        address: Address,
        *,
        read_only: bool,
        on_connect: Callable[[Connection], None],
        on_begin: Callable[[Connection], None],
    ) -> None:
        self.address = address
        self._read_only = read_only
        self._on_connect = on_connect
        self._on_begin = on_begin
        self._connection: Connection | None = None

    def open(self) -> None:
        """Connect.

        Raises:
            UsageError: the database is not one to use.
            StorageError: it cannot be reached.
        """
        self._connect()

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()

    def interrupt(self) -> None:
        """End the statement that another thread waits for, if there is one."""
        if self._connection is not None:
            with suppress(psycopg.Error):  # then it ends by itself, later
                self._connection.cancel_safe(timeout=CONNECT_TIMEOUT_SECONDS)

    def transact(
        self, work: Work[T], action: str, *, ahead: Callable[[Connection], None] | None = None
    ) -> T:
        """Do work in one transaction.

        Args:
            work: what to do in it; it may be done more than once, the last of which counts.
            action: ``read`` or ``write``.
            ahead: what to do on the connection before the transaction, in others.

        Raises:
            StorageError: it was not done, or it is not known.
        """
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._transact(work, action, ahead)
            except REPEATABLE as error:
                if not tries_left:
                    raise as_storage_error(error, self.address, action) from error
        raise StorageError(f"cannot {action} {self.address}")

    def _transact(
        self, work: Work[T], action: str, ahead: Callable[[Connection], None] | None
    ) -> T:
        connection = self._alive()
        is_in_commit = False
        try:
            if ahead is not None:
                ahead(connection)
            connection.execute("BEGIN")
            if action == "write":
                self._on_begin(connection)
            result = work(connection)
            is_in_commit = action == "write"
            connection.execute("COMMIT")
        except BaseException as error:
            _roll_back(connection)
            if is_lost(connection) and isinstance(error, psycopg.Error):
                self._look_who_took_over(action)
                raise as_lost(error, self.address, in_commit=is_in_commit) from error
            if isinstance(error, REPEATABLE):
                raise
            if isinstance(error, (psycopg.Error, ValueError, OverflowError)):
                raise as_storage_error(error, self.address, action) from error
            raise
        return result

    def _alive(self) -> Connection:
        """The connection, or a new one if the server has ended it meanwhile."""
        if self._connection is None or is_lost(self._connection):
            return self._connect()
        try:
            self._connection.execute("SELECT")
        except psycopg.OperationalError:
            return self._connect()
        return self._connection

    def _connect(self) -> Connection:
        self.close()
        self._connection = connection = connect(self.address, read_only=self._read_only)
        try:
            self._on_connect(connection)
        except psycopg.Error as error:
            connection.close()
            raise as_storage_error(error, self.address, "open") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _look_who_took_over(self, action: str) -> None:
        """Whoever takes a shard over has the session of the one before ended: say so."""
        if action != "write":
            return
        try:
            connection = self._connect()
            connection.execute("BEGIN")
            try:
                self._on_begin(connection)
            finally:
                _roll_back(connection)
        except FencedError:
            raise
        except (StorageError, UsageError, psycopg.Error):
            return  # the server is away, and what is told of that is enough


def _roll_back(connection: Connection) -> None:
    with suppress(psycopg.Error):
        if not is_lost(connection) and connection.info.transaction_status:
            connection.execute("ROLLBACK")
