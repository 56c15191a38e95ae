"""Transactions on a SQLite connection, in threads.

How it works. One thread at a time works with the connection: the methods are async, the work is in
`trio.to_thread`, behind a limiter of one. A transaction that writes begins with ``BEGIN
IMMEDIATE``, so that it waits for another program's before it has read anything.

Responsible for: transactions, threads, and telling SQLite's errors in one clear line.
Must never: leave a transaction open when a method ends, however it ends; abandon a thread that is
at work (a cancelled write has happened or has not).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import trio

from gsc_trio.errors import StorageError
from gsc_trio.store.connection import as_storage_error, wait_for_others

T = TypeVar("T")


class SqliteTransactions:
    """A connection and the transactions on it.

    Args:
        path: the file.
        connection: to it.
        limiter: of one thread.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, limiter: trio.CapacityLimiter
    ) -> None:
        self.path = path
        """The file, as it was named."""
        self._identity = path.stat()
        self._connection = connection
        self._limiter = limiter
        self._is_patient = True

    async def _transact(self, work: Callable[[], T], action: str = "write") -> T:
        """Do the work in a thread, in one transaction."""
        begin = "BEGIN IMMEDIATE" if action == "write" else "BEGIN"

        def in_thread() -> T:
            try:
                with _transaction(self._connection, begin):
                    result = work()
                if action == "write":
                    self._check_file()
            except (sqlite3.Error, ValueError, OverflowError) as error:
                self._be_patient(False)
                raise as_storage_error(error, self.path, action) from error
            if action == "write":  # whoever only reads waits for nobody
                self._be_patient(True)
            return result

        return await self._run_in_thread(in_thread)

    def _be_patient(self, is_patient: bool) -> None:
        """Wait for other programs' transactions, but not once more after having done so in vain.

        A run that halts, since the database stays locked, winds up in some more transactions.
        """
        if self._is_patient is not is_patient:
            self._is_patient = is_patient
            wait_for_others(self._connection, is_patient)

    def _check_file(self) -> None:
        """Notice that the file was removed, moved or replaced: SQLite would go on writing to it.

        After the commit, so that no page counts as written that nobody will find.
        """
        try:
            is_the_same = os.path.samestat(self.path.stat(), self._identity)
        except OSError:
            is_the_same = False
        if not is_the_same:
            raise StorageError(
                f"{self.path} was removed or replaced while it was in use: put it back, or run "
                "again to begin a new one"
            )

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        """The one place where threads come in, so that simulations can do without."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors, as a full disk, have rolled it back already.
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
