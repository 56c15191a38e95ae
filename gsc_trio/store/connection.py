"""Opening a database file: what is refused, what is made, and how SQLite's errors are told.

Responsible for: that a file which is not ours is left exactly as it is, with one clear line that
says why it was refused; that a database is made whole or not at all.
Must never: open the file by any other way than SQLite. Closing a plain file handle would drop
the locks that SQLite holds on the same file in this process (POSIX advisory locks).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.store.schema import APPLICATION_ID, MIGRATIONS, PAGE_SIZE_BYTES, migrate

BUSY_TIMEOUT_SECONDS = 4.0
"""How long a statement waits for another program's transaction before it gives up. Nothing can cut
that short, so it is no longer than a halt may take."""

CACHE_KIBIBYTES = 8 * 1024
"""Holds what a full page of rows changes, so that it is written once, at its commit."""

LOG_PAGES = 64 * 1024 * 1024 // PAGE_SIZE_BYTES
"""How long the write-ahead log grows before a commit ends with a checkpoint."""

SMALLEST_DATABASE_BYTES = 512
"""SQLite's smallest page. It takes a shorter file for an empty one and would write over it."""

_ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space and run it again",
    "SQLITE_BUSY": "another program keeps it locked: let that finish and run it again",
    "SQLITE_READONLY": "it can only be read: check the permissions of the file and its folder",
    "SQLITE_IOERR": "the disk reports an error: check the disk and that the folder is there",
    "SQLITE_CANTOPEN": "it cannot be opened: check the permissions of the file and its folder",
    "SQLITE_CORRUPT": "it is damaged: restore it from a copy, or start with a new file",
    "SQLITE_NOTADB": "it is damaged: restore it from a copy, or start with a new file",
    "SQLITE_CONSTRAINT": "a value cannot be stored",
}


def open_connection(path: Path, *, create: bool, read_only: bool) -> sqlite3.Connection:
    """Open a database of ours, and make or update it where that is wanted.

    Args:
        path: the file.
        create: make the database if there is none.
        read_only: neither make nor change anything.

    Raises:
        UsageError: there is nothing to open, or something that must be left alone.
        StorageError: it is ours, but SQLite cannot work with it.
    """
    check_database(path, create=create, read_only=read_only)
    with _clear_errors(path):
        return _connect_to_read(path) if read_only else _connect_to_write(path)


def open_for_checkpoints(path: Path) -> sqlite3.Connection:
    """Another connection to a database that is open, for `gsc_trio.store.checkpoints`.

    Raises:
        StorageError: SQLite cannot open it.
    """
    with _clear_errors(path):
        return _connect(path, "mode=rw")


def check_database(path: Path, *, create: bool, read_only: bool) -> None:
    """Refuse what cannot be opened or must be left alone; nothing is changed.

    Args and errors are those of `open_connection`.
    """
    exists = _check_path(path, create=create, read_only=read_only)
    if exists:
        with _clear_errors(path):
            _look(path, read_only=read_only)


def wait_for_others(connection: sqlite3.Connection, does_wait: bool) -> None:
    """Whether statements wait for other programs' transactions, as they do at first, or give up."""
    milliseconds = round(BUSY_TIMEOUT_SECONDS * 1_000) if does_wait else 0
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if _kind(error) == "SQLITE_NOTADB":
            raise UsageError(f"{path} is not a SQLite database: name another file") from None
        if _kind(error) in {"SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM"}:
            raise UsageError(f"{path} cannot be opened: {_advice(error)}") from None
        raise as_storage_error(error, path, "open") from error


def as_storage_error(error: Exception, path: Path, action: str) -> StorageError:
    """What happened, to which file, and what to do about it.

    Args:
        error: SQLite's error, or Python's about a value that SQLite cannot take.
        path: the file.
        action: what was tried: ``open``, ``write`` or ``read``.
    """
    if isinstance(error, sqlite3.Error):
        return StorageError(f"cannot {action} {path}: {_advice(error)}")
    return StorageError(f"cannot {action} {path}: a value cannot be stored: {error}")


def _kind(error: sqlite3.Error) -> str:
    """The primary result code: ``SQLITE_IOERR`` of ``SQLITE_IOERR_WRITE``."""
    return "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])


def _advice(error: sqlite3.Error) -> str:
    advice = _ADVICE.get(_kind(error))
    return f"{advice} ({error})" if advice else str(error)


def _check_path(path: Path, *, create: bool, read_only: bool) -> bool:
    """Returns whether there is a file; refuses what SQLite would take in an unclear way."""
    try:
        folder_mode = _mode(path.parent)
        file_mode = _mode(path)
        size = path.stat().st_size if file_mode else 0
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{str(path)!r} cannot be opened: {reason}") from None
    if not S_ISDIR(folder_mode):
        raise UsageError(f"the folder of {path} does not exist: create it or name another file")
    if S_ISDIR(file_mode):
        raise UsageError(
            f"{path} is a folder: name a database file. A folder of Parquet files is for "
            "backfill --store parquet, status and report"
        )
    if file_mode and not S_ISREG(file_mode):
        raise UsageError(f"{path} is not an ordinary file: name another one")
    if not file_mode and (read_only or not create):
        raise UsageError(f"there is no database at {path}")
    if 0 < size < SMALLEST_DATABASE_BYTES:
        raise UsageError(f"{path} is not a SQLite database: name another file")
    if not read_only:
        # Beside the file SQLite keeps the write-ahead log, so the folder matters as much.
        for place in (path.parent, path) if file_mode else (path.parent,):
            if not os.access(place, os.W_OK):
                raise UsageError(f"{path} cannot be written: no permission to write to {place}")
    return bool(file_mode)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _connect(path: Path, options: str) -> sqlite3.Connection:
    # as_uri() escapes ?, # and %, which SQLite would take for the end of the name.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,  # transactions begin and end where the store says
        check_same_thread=False,  # a store uses one thread at a time, but not always the same
    )


def _look(path: Path, *, read_only: bool) -> None:
    """Refuse what is not ours, leaving no trace, not even files beside the database.

    ``mode=ro`` leaves a write-ahead log behind where there was none; ``immutable=1`` does not
    see one that is there.
    """
    has_log = Path(f"{path}-wal").exists()
    with closing(_connect(path, "mode=ro" if has_log else "immutable=1")) as connection:
        try:
            _check_is_ours(connection, path, read_only=read_only)
        except sqlite3.DatabaseError as error:
            # Without locks a database that is just being made can look damaged, and a killed
            # creation can leave a file without a beginning, with a journal by which SQLite
            # empties it. Opening it in earnest decides, and checks once more.
            has_journal = Path(f"{path}-journal").exists()
            if _kind(error) != "SQLITE_CORRUPT" and not has_journal:
                raise


def _check_is_ours(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    application_id, version, is_empty = _marks(connection)
    if application_id != APPLICATION_ID:
        if not is_empty or application_id != 0:
            raise UsageError(f"{path} is a database of another program: name another file")
        if read_only:
            raise UsageError(f"there is no database at {path}: the file is empty")
    elif version > len(MIGRATIONS):
        raise UsageError(f"{path} was made by a newer gsc-trio: update gsc-trio to use it")
    elif version < len(MIGRATIONS) and read_only:
        raise UsageError(f"{path} was made by an older gsc-trio: a run brings it up to date")


def _marks(connection: sqlite3.Connection) -> tuple[int, int, bool]:
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    is_empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    return application_id, version, is_empty


def _connect_to_read(path: Path) -> sqlite3.Connection:
    if not os.access(path, os.W_OK) and not Path(f"{path}-wal").exists():
        # SQLite would leave a log behind that nobody may write to, not even when this file may be
        # written again. Without a log nobody is writing now.
        return _connect(path, "immutable=1")
    # Where it may write, SQLite can tidy up the log after itself; the pragma forbids the rest.
    connection = _connect(path, "mode=rw")
    try:
        connection.execute("PRAGMA query_only = ON")
        _check_is_ours(connection, path, read_only=True)
    except sqlite3.OperationalError as error:
        connection.close()
        if _kind(error) not in {"SQLITE_CANTOPEN", "SQLITE_READONLY"}:
            raise
        # A folder without permission to write: nobody can be writing to the database either.
        return _connect(path, "immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_write(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "mode=rwc")
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE_BYTES}")  # counts for a new file only
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        # What SQLite keeps in case a statement fails would go to a file above 64 KiB: that takes
        # time, and another disk that can be full.
        connection.execute("PRAGMA temp_store = MEMORY")
        if _marks(connection)[:2] != (APPLICATION_ID, len(MIGRATIONS)):
            _make_or_update(connection, path)
        # Only now: the marks of a new database are then in the file itself, not in its log.
        _switch_to_log(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_log(connection: sqlite3.Connection) -> None:
    """Use the write-ahead log. A database remembers it, so this does something only once."""
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        # SQLite does not wait here. Whoever else has just opened it switches too, and if not,
        # the next to open it; until then it is as safe, only readers and writers wait.
        if _kind(error) != "SQLITE_BUSY":
            raise


def _make_or_update(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Once more under the lock: another program may have been faster.
        _check_is_ours(connection, path, read_only=False)
        migrate(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
