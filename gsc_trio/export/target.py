"""Where an export goes: never over what is there unless that is wanted, and whole or not at all.

Responsible for: refusing targets that must be left alone before anything is changed; that a file
appears under its name in one step, with all that is in it on the disk.
Must never: delete a file that it did not write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.store.lock import lock_database
from gsc_trio.whole_files import make_folders, move_durably

OWN_FOLDER = "_gsc_trio"
"""In a folder of Parquet files: what is not data. Readers skip names that begin so."""

LEDGER = "ledger.db"
"""In that folder: the ledger of a `gsc_trio.store.parquet.ParquetStore`."""

_SQLITE = b"SQLite format 3\0"


class Existing(Enum):
    """What to do with a target that is there."""

    REFUSE = "refuse"
    UPDATE = "update"
    """Write the days that changed since."""
    OVERWRITE = "overwrite"
    """Write everything anew."""


@contextmanager
def locked_folder(folder: Path, existing: Existing) -> Iterator[None]:
    """A folder of exported files that is ours alone for as long as this lasts; made if needed.

    Raises:
        UsageError: there is something that must be left alone. Nothing was changed.
        DatabaseInUseError: another export writes to it.
    """
    own = folder / OWN_FOLDER
    check_parent(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder for Parquet files")
    if (own / LEDGER).exists():
        raise UsageError(f"{folder} is what backfill --store parquet writes: name another folder")
    is_empty = not folder.exists() or not any(folder.iterdir())
    if not is_empty and not own.is_dir():
        raise UsageError(f"{folder} holds files that are no export: name another folder")
    if not is_empty and existing is Existing.REFUSE:
        raise UsageError(
            f"{folder} holds an export already: --update writes the days that changed since, "
            "--overwrite writes all"
        )
    with clear_errors(folder):
        make_folders(own)
    lock = lock_database(own / "export")
    try:
        with clear_errors(folder):
            yield
    finally:
        lock.release()


@contextmanager
def replaced_file(target: Path, database: Path | None, existing: Existing) -> Iterator[Path]:
    """A path to write a file to, which takes the target's place at the end if all goes well.

    Args:
        target: the file.
        database: what is exported, if it is a file.
        existing: whether it may be there.

    Raises:
        UsageError: there is something that must be left alone. Nothing was changed.
        DatabaseInUseError: another export writes to it.
    """
    check_file(target, database, existing)
    partial = target.with_name(f".{target.name}.partial")
    with locked_file(target):
        partial.unlink(missing_ok=True)  # of one that was killed
        try:
            yield partial
            move_durably(partial, target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def locked_file(target: Path) -> Iterator[None]:
    """A file that no other export writes to for as long as this lasts.

    Raises:
        DatabaseInUseError: one does already.
    """
    lock = lock_database(target)
    try:
        with clear_errors(target):
            yield
    finally:
        lock.release()


def check_file(target: Path, database: Path | None, existing: Existing) -> None:
    """Refuse a target that must be left alone.

    Raises:
        UsageError: it must.
    """
    check_parent(target)
    if target.is_dir():
        raise UsageError(f"{target} is a folder: name a file")
    if not target.exists():
        return
    if not target.is_file():
        raise UsageError(f"{target} is not an ordinary file: name another one")
    if database is not None and database.exists() and target.samefile(database):
        raise UsageError(f"{target} is the database itself: name another file")
    with clear_errors(target), target.open("rb") as file:
        if file.read(len(_SQLITE)) == _SQLITE:
            raise UsageError(f"{target} is a SQLite database: name another file")
    if existing is Existing.REFUSE:
        raise UsageError(f"{target} exists already: name another file, or --overwrite it")


def check_parent(target: Path) -> None:
    """Refuse a target in a folder that is not there."""
    if not target.parent.is_dir():
        raise UsageError(f"the folder of {target} does not exist: create it or name another one")


@contextmanager
def clear_errors(target: Path) -> Iterator[None]:
    """Tell what the operating system says in one line, as a `StorageError`."""
    try:
        yield
    except OSError as error:
        place = error.filename or target
        raise StorageError(f"cannot write {place}: {error.strerror or error}") from error
