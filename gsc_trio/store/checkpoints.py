"""Checkpoints beside the writing: the log's content goes into the database file meanwhile.

A commit puts pages into the write-ahead log; a checkpoint copies them into the database file and
waits for the disk. SQLite does that at the end of every few commits, while the next page waits: a
fifth of the time of a run that is as fast as it can be. A checkpoint never stands in the way of
a transaction, so here it is made by a connection and a thread of its own, while the next pages are
being written.

The log is used from its beginning again only if a checkpoint has reached its end, which one beside
the writing never does. When the log is `connection.LOG_PAGES` long, SQLite makes the rest of the
way at the end of a commit, as it always did.

Must never: fail a run. A checkpoint that fails is made later; what was committed is in the log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress

import trio

from gsc_trio.model import Page

BYTES_BETWEEN = 4 * 1024 * 1024
"""How much JSON was written since a checkpoint began when the next one is due."""


class Checkpoints:
    """The checkpoints of one store.

    Args:
        connection: to the store's database, and nobody else's.
        bytes_between: when the next one is due, as `BYTES_BETWEEN` says.
    """

    def __init__(self, connection: sqlite3.Connection, bytes_between: int = BYTES_BETWEEN) -> None:
        self._connection = connection
        self._bytes_between = bytes_between
        self._bytes_written = 0
        self._one_at_a_time = trio.CapacityLimiter(1)

    def note(self, pages: Iterable[Page]) -> None:
        """Pages were committed."""
        self._bytes_written += sum(page.content_bytes for page in pages)

    def start_if_due(self, nursery: trio.Nursery) -> None:
        """Make a checkpoint in the nursery, if there is enough to do."""
        if self._bytes_written >= self._bytes_between:
            self._bytes_written = 0
            nursery.start_soon(self._in_thread, self._checkpoint)

    async def close(self) -> None:
        """Close the connection."""
        await self._in_thread(self._connection.close)

    def _checkpoint(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await trio.to_thread.run_sync(work, limiter=self._one_at_a_time)
