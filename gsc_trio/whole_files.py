"""Files that are there whole or not at all: under their names in one step, once on the disk.

Must never: leave a part of a file under its name, whenever the process or the machine dies.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def written_whole(path: Path, *, is_private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the path's place at the end, if all goes well.

    Args:
        path: its name then; the folder is there.
        is_private: whether only its owner may read it, whatever the umask says.

    Raises:
        OSError: it could not be written; what was there is as before.
    """
    # Readable by its owner alone for as long as it has another name.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        if not is_private:
            partial.chmod(0o666 & ~_umask())
        move_durably(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def move_durably(source: Path, target: Path) -> None:
    """Give a file the name of another, in one step, once its content is on the disk.

    Args:
        source: the file, on the same file system.
        target: its name from now on; folders that are missing are made.
    """
    make_folders(target.parent)
    _sync(source)
    source.replace(target)
    _sync(target.parent)


def make_folders(folder: Path) -> None:
    """Make a folder, with those above it, so that they survive a loss of power."""
    if not folder.is_dir():
        make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """Which permissions new files are not to have; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
