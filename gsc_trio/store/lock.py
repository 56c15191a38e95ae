"""One writer a database: a lock file beside it, held for as long as the database is open.

The lock is the kernel's (flock), so it ends with the process that holds it, however that ends:
there is no stale lock to tell from a live one. What stands in the file only says who holds it.

Responsible for: that two writers never work on one database, in one process or in two; that the
file is gone when nobody holds it any more.
Must never: remove a file that somebody else holds, or leave a lock behind in a thread.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import attrs
import msgspec
import trio

from gsc_trio.errors import DatabaseInUseError, UsageError

LOCK_SUFFIX = "-lock"
"""The lock of ``gsc.db`` is ``gsc.db-lock``, as its log is ``gsc.db-wal``."""

_MAX_HOLDER_BYTES = 4_096


class _Holder(msgspec.Struct):
    """Who holds a lock, as it stands in the file."""

    process: int
    host: str
    since: dt.datetime

    @classmethod
    def this_process(cls) -> _Holder:
        return cls(os.getpid(), socket.gethostname(), dt.datetime.now(dt.UTC))

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since:%Y-%m-%d %H:%M:%S} UTC"


@attrs.define(eq=False)
class DatabaseLock:
    """A lock that is held; `lock_database` and `wait_for_database` make it."""

    path: Path
    """The lock file."""
    _descriptor: int

    def release(self) -> None:
        """Let others in."""
        if _is_still_there(self.path, self._descriptor):
            with suppress(OSError):  # the lock itself ends with the descriptor
                self.path.unlink()
        os.close(self._descriptor)


def lock_database(database: Path) -> DatabaseLock:
    """Lock a database, or say at once who has it.

    Args:
        database: its file, which need not be there yet.

    Raises:
        DatabaseInUseError: someone else has it; the message names them.
        UsageError: there can be no file beside it.
    """
    return _lock(database, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def wait_for_database(database: Path) -> DatabaseLock:
    """Lock a database when nobody else has it any more.

    Whoever is cancelled while waiting has taken nothing, and lets the next one have it.

    Raises:
        UsageError: there can be no file beside it.
    """
    handover = threading.Lock()
    is_abandoned = False
    taken: DatabaseLock | None = None

    def wait() -> DatabaseLock | None:
        nonlocal taken
        lock = _lock(database, fcntl.LOCK_EX)
        with handover:
            if is_abandoned:
                lock.release()
                return None
            taken = lock
            return lock

    try:
        # The kernel knows no way to end the wait, so the thread is left to it when cancelled.
        lock = await trio.to_thread.run_sync(wait, abandon_on_cancel=True)
    except trio.Cancelled:
        with handover:
            is_abandoned = True
            if taken is not None:
                taken.release()
        raise
    if lock is None:
        raise RuntimeError("a lock was abandoned by nobody")
    return lock


def _lock(database: Path, operation: int) -> DatabaseLock:
    # The real path: a database that is reached through a link is still the same database.
    path = Path(os.path.realpath(database) + LOCK_SUFFIX)
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"{path} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, operation)
            if _is_still_there(path, descriptor):
                _write_holder(descriptor)
                return DatabaseLock(path, descriptor)
        except BlockingIOError:
            message = _in_use(database, descriptor)
            os.close(descriptor)
            raise DatabaseInUseError(message) from None
        except BaseException:
            os.close(descriptor)
            raise
        # Whoever held it has removed the file just now: a lock on it keeps nobody out.
        os.close(descriptor)


def _is_still_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    with suppress(OSError):  # a full disk: the lock holds without a name in it
        os.pwrite(descriptor, msgspec.json.encode(_Holder.this_process()), 0)


def _in_use(database: Path, descriptor: int) -> str:
    try:
        holder = str(msgspec.json.decode(os.pread(descriptor, _MAX_HOLDER_BYTES, 0), type=_Holder))
    except msgspec.DecodeError:  # it has just been taken, or its holder's disk was full
        holder = "another process"
    return f"{database} is in use by {holder}: let that end first"
