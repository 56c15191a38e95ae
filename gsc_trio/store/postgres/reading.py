"""A Postgres database for whoever only reads, and wants one state of it in each transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from gsc_trio.store.postgres.address import Address
from gsc_trio.store.postgres.errors import as_storage_error
from gsc_trio.store.postgres.schema import check_schema
from gsc_trio.store.postgres.session import connect
from gsc_trio.store.postgres.sql import SharedSql


@contextmanager
def opened_to_read(address: Address) -> Iterator[SharedSql]:
    """A connection that can change nothing.

    Raises:
        UsageError: the database has no tables of ours.
        StorageError: it cannot be read, also while the connection is used.
    """
    with connect(address, read_only=True) as connection:
        try:
            check_schema(connection, address, read_only=True)
            connection.execute("SET default_transaction_isolation = 'repeatable read'")
            yield SharedSql(connection)
        except psycopg.Error as error:
            raise as_storage_error(error, address, "read") from error
