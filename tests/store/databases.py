"""Databases of both kinds, looked at by another program in the same SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from psycopg.types.string import TextLoader

from gsc_trio.store.postgres.store import PostgresStore
from gsc_trio.store.sqlite import SqliteStore

AnyStore = SqliteStore | PostgresStore

Rows = list[tuple[Any, ...]]


class Cursor(Protocol):
    """What both kinds give for a statement."""

    @property
    def description(self) -> Any: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Rows: ...


class Reader(Protocol):
    """A connection of either kind; days are text in both."""

    def execute(self, statement: str, /) -> Cursor: ...


@contextmanager
def reading(store: AnyStore) -> Iterator[Reader]:
    """Another program's connection to a store's database."""
    if isinstance(store, PostgresStore):
        with psycopg.connect(store.address.conninfo, autocommit=True) as postgres:
            postgres.adapters.register_loader("date", TextLoader)
            # As in SQLite, what a transaction has seen once does not change.
            postgres.execute("SET default_transaction_isolation = 'repeatable read'")
            yield postgres
    else:
        sqlite = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
        try:
            yield sqlite
        finally:
            sqlite.close()


def content(reader: Reader) -> dict[str, Rows]:
    """All that was fetched and what is known of it, but clock times and numbers of datasets.

    Databases of different kinds that hold the same have the same content.
    """
    identity = "site_url, search_type, dimensions, aggregation_type, filters"
    datasets = reader.execute(f"SELECT id, {identity} FROM dataset").fetchall()
    names = {number: tuple(values) for number, *values in datasets}
    found = {}
    for table in ("page_ledger", "in_flight", *_tables_of_rows(reader, names)):
        cursor = reader.execute(f"SELECT * FROM {table}")
        columns = [column for column, *_ in cursor.description]
        kept = [place for place, name in enumerate(columns) if not name.endswith("_at")]
        found[table] = sorted(
            (names[row[0]], *(row[place] for place in kept[1:])) for row in cursor.fetchall()
        )
    return {table: rows for table, rows in found.items() if rows}


def _tables_of_rows(reader: Reader, names: dict[int, tuple[str, ...]]) -> list[str]:
    by_dimensions = {dimensions or "date" for _, _, dimensions, _, _ in names.values()}
    return sorted(
        "search_analytics_by_" + text.replace(",", "_").replace("searchA", "search_a")
        for text in by_dimensions
    )
