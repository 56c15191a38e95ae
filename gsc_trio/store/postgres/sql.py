"""A Postgres connection that takes the SQL which both kinds of database understand.

Responsible for: the difference between the two in how values are written and told, as
`gsc_trio.store.sql` wants it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import TextLoader

from gsc_trio.store.sql import SqlCursor, clock_text


class _ClockTextLoader(Loader):
    """A clock time as SQLite keeps it."""

    def load(self, data: Buffer) -> str:
        """Read what the server wrote, with ``DateStyle`` ISO."""
        return clock_text(dt.datetime.fromisoformat(bytes(data).decode()))


@attrs.frozen
class SharedSql:
    """A `gsc_trio.store.sql.SqlConnection` to Postgres."""

    connection: psycopg.Connection[tuple[Any, ...]]

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and has not ended."""
        return self.connection.info.transaction_status != pq.TransactionStatus.IDLE

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> SqlCursor:
        """Do one statement."""
        return self._cursor().execute(_translated(statement), values)

    def executemany(self, statement: str, values: Iterable[Sequence[Any]], /) -> object:
        """Do one statement for each of these values, all of them in one round trip."""
        if values := list(values):
            self._cursor().executemany(_translated(statement), values)
        return None

    def _cursor(self) -> psycopg.Cursor[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.adapters.register_loader("date", TextLoader)
        cursor.adapters.register_loader("timestamptz", _ClockTextLoader)
        return cursor


def _translated(statement: str) -> str:
    return statement.replace("?", "%s")
