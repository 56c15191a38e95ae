"""A connection to either kind of database, for SQL that both understand.

Most of what a store does is the same few statements, whatever the database is. They are written
once: with ``?`` for each value, days and clock times as ISO 8601 text, as SQLite keeps them, and
nothing in them that only one of the two knows. A `sqlite3.Connection` takes them as it is;
`gsc_trio.store.postgres.sql` makes a Postgres connection take them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol


class SqlCursor(Protocol):
    """What a statement gives: rows as tuples."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All that are left."""


class SqlConnection(Protocol):
    """A connection, outside of a transaction or in one."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and has not ended."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> SqlCursor:
        """Do one statement."""

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> object:
        """Do one statement for each of these values."""


def clock_text(time: dt.datetime) -> str:
    """A time as text that sorts as the times do: in UTC, to the millisecond."""
    return time.astimezone(dt.UTC).isoformat(timespec="milliseconds")
