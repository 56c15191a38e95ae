"""A database as text, such that equal content is equal text.

What SQLite's own ``.dump`` gives, with four differences: columns that hold clock times (their
names end in ``_at``) are left aside, so are the tables that tell of runs, tables and rows come in
the order of their names and keys, and text with a NUL character is not cut off there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gsc_trio.store.connection import open_connection
from gsc_trio.store.schema import TABLES_OF_RUNS

CLOCK_SUFFIX = "_at"


def comparable_dump(path: str | os.PathLike[str]) -> str:
    """The whole database as one text; two runs that fetched the same give the same text.

    Args:
        path: a database of this package. It may be in use.

    Raises:
        UsageError: there is no such database.
    """
    return "".join(f"{statement}\n" for statement in dump_statements(path))


def dump_statements(path: str | os.PathLike[str]) -> Iterator[str]:
    """The same, statement by statement, for databases that are larger than memory.

    Raises:
        UsageError: there is no such database.
    """
    with closing(open_connection(Path(path), create=False, read_only=True)) as connection:
        connection.execute("BEGIN")  # one state of the database, whatever is written meanwhile
        yield from dump_connection(connection)


def dump_connection(connection: sqlite3.Connection) -> Iterator[str]:
    """The same, of a database that is open."""
    for mark in ("application_id", "user_version"):
        yield f"PRAGMA {mark} = {connection.execute(f'PRAGMA {mark}').fetchone()[0]};"
    schema = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'table' DESC, type, name"
    ).fetchall()
    for kind, name, sql in schema:
        yield f"{sql};"
        if kind == "table" and name not in TABLES_OF_RUNS:
            yield from _inserts(connection, name)


def _inserts(connection: sqlite3.Connection, table: str) -> Iterator[str]:
    info = connection.execute("SELECT name, pk FROM pragma_table_info(?)", (table,)).fetchall()
    columns = ", ".join(_quoted(name) for name, _ in info if not name.endswith(CLOCK_SUFFIX))
    key = sorted((position, name) for name, position in info if position)
    order = ", ".join(_quoted(name) for _, name in key) or columns
    select = f"SELECT {columns} FROM {_quoted(table)} ORDER BY {order}"
    for values in connection.execute(select):
        literals = ",".join(map(_literal, values))
        yield f"INSERT INTO {_quoted(table)} ({columns}) VALUES ({literals});"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str | int | float | bytes | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, str):
        if "\0" in value:  # ends a statement's text
            return f"CAST(X'{value.encode().hex()}' AS TEXT)"
        return "'" + value.replace("'", "''") + "'"
    return {"inf": "9e999", "-inf": "-9e999"}.get(repr(value), repr(value))
