"""The database that an export reads: a SQLite file, or Postgres.

What is read, and in which SQL, is the same for both (`gsc_trio.export.dataset`).

Responsible for: opening it so that nothing can be changed, and its errors in one line.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from gsc_trio.store.connection import as_storage_error, open_connection
from gsc_trio.store.location import read_location
from gsc_trio.store.sql import SqlConnection

if TYPE_CHECKING:
    from gsc_trio.store.location import LocationName


@attrs.frozen
class Source:
    """A database that is open; `opened_source` makes it."""

    name: str
    """As it may be shown."""
    file: Path | None
    """The file that must not be written over, if it is one."""
    connection: SqlConnection


@contextmanager
def opened_source(database: LocationName) -> Iterator[Source]:
    """A database to read from.

    Raises:
        UsageError: there is no such database, or psycopg is missing.
        StorageError: it cannot be read.
    """
    location = read_location(database)
    if isinstance(location, Path):
        with opened_file(location) as file:
            yield Source(str(location), location, file)
    else:
        from gsc_trio.store.postgres.reading import opened_to_read  # noqa: PLC0415 - needs psycopg

        with opened_to_read(location) as postgres:
            yield Source(location.name, None, postgres)


@contextmanager
def opened_file(path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite file to read from.

    Raises:
        UsageError: there is no such database.
        StorageError: it cannot be read.
    """
    connection = open_connection(path, create=False, read_only=True)
    try:
        yield connection
    except sqlite3.Error as error:
        raise as_storage_error(error, path, "read") from error
    finally:
        connection.close()
