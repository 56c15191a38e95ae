"""The SQLite store in virtual time: the real one, on the event loop, with delays and faults.

Its database lives in memory and outlives the processes that use it, as a disk does. Statements
take no time in the world; a drawn delay before and after each transaction stands for the thread
and the disk, so a process can die before its commit, or after it and before it hears of it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import trio

from gsc_trio.errors import StorageError
from gsc_trio.store.dump import dump_connection
from gsc_trio.store.schema import migrate
from gsc_trio.store.sqlite import SqliteStore
from gsc_trio.testing.simulated_process import SimulatedProcess

T = TypeVar("T")


class SimulatedDisk:
    """A database that survives."""

    def __init__(self) -> None:
        # It is used by whoever runs the world, one thread at a time.
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self.connection.deserialize(_new_database())

    def dump(self) -> str:
        """What it holds, as `gsc_trio.store.dump.comparable_dump` tells it."""
        return "\n".join(dump_connection(self.connection))

    def close(self) -> None:
        """Give its memory back."""
        self.connection.close()


@cache
def _new_database() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("BEGIN")
    migrate(connection)
    connection.execute("COMMIT")
    content = connection.serialize()
    connection.close()
    return content


class SimulatedStore(SqliteStore):
    """A process's store on a disk.

    Args:
        disk: where it writes.
        process: who writes.
        delay: draws how long a transaction waits before, and after, in seconds.
        choose: draws what goes wrong with it, in words, or None.
    """

    def __init__(
        self,
        disk: SimulatedDisk,
        process: SimulatedProcess,
        *,
        delay: Callable[[], float],
        choose: Callable[[], str | None] = lambda: None,
    ) -> None:
        # There is no file; this one is always there.
        super().__init__(Path(os.devnull), disk.connection, trio.CapacityLimiter(1))
        self._process = process
        self._delay = delay
        self._choose = choose

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        async with self._limiter:
            await self._wait()
            reason = self._choose()
            if reason is not None:
                raise StorageError(reason)
            result = work()
            await self._wait()
            return result

    async def _wait(self) -> None:
        # Shielded, since a thread that is at work is not abandoned.
        with trio.CancelScope(shield=True):
            await trio.sleep(self._delay())
        self._process.check_alive()
