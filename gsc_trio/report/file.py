"""The file that a page goes to: refused before anything is done, and there whole or not at all.

Must never: overwrite what is not a page of ours, unless that was asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.store.lock import LOCK_SUFFIX
from gsc_trio.whole_files import written_whole

GENERATOR = "gsc-trio run report"
"""By this, near its beginning, a page of ours is known."""

_BEGINNING_BYTES = 200

_DATABASE_FILES = ("", "-wal", "-shm", "-journal", LOCK_SUFFIX)
"""What the files of a database end in, after its name."""


def check_page_file(path: Path, database: Path | None, *, replaces: str = "nothing") -> None:
    """Refuse a path that no page can be written to; nothing is changed.

    Args:
        path: where the page is to be.
        database: what must never be replaced, nor the files that go with it; None for no file.
        replaces: what may be there already: ``nothing``, a ``page`` of ours, or ``anything``.

    Raises:
        UsageError: what is wrong with it.
    """
    try:
        folder_is_there, exists = path.parent.is_dir(), os.path.lexists(path)
        is_folder, is_file = path.is_dir(), path.is_file()
        os.stat(path.parent / path.name)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        folder_is_there = False
    except (OSError, ValueError) as error:  # ValueError: a null character
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{str(path)!r} cannot be written: {reason}") from None
    if not folder_is_there:
        raise UsageError(f"the folder of {path} does not exist: create it or name another file")
    if is_folder:
        raise UsageError(f"{path} is a folder: name a file in it")
    if database is not None and _beside(path, database) in _DATABASE_FILES:
        raise UsageError(f"{path} belongs to the database: name another file for the report")
    if exists:
        _check_replaced(path, replaces, is_file=is_file)
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: no permission to write to {path.parent}")


def _beside(path: Path, database: Path) -> str:
    return os.path.realpath(path).removeprefix(os.path.realpath(database))


def _check_replaced(path: Path, replaces: str, *, is_file: bool) -> None:
    if not is_file:
        raise UsageError(f"{path} is not an ordinary file: name another one")
    if replaces == "nothing":
        raise UsageError(f"{path} is there already: name another file, or use --force")
    if replaces == "page" and not _is_page(path):
        raise UsageError(f"{path} is there already and no report: name another file")


def _is_page(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return f'content="{GENERATOR}"'.encode() in file.read(_BEGINNING_BYTES)
    except OSError:
        return False


def write_page(path: Path, page: str) -> None:
    """Write a page, replacing what is there.

    Raises:
        StorageError: it could not be written; what was there is as before.
    """
    try:
        with written_whole(path) as file:
            file.write(page.encode())
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None
