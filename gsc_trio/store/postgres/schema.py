"""The tables in Postgres: those of the SQLite store, under the same names.

What differs: days are ``date``, clock times ``timestamptz``; text compares byte by byte, as SQLite
does it; a table of rows is made of partitions, one a month, as
``search_analytics_by_page_query_2024_01``, so that an old month goes by dropping its partition.

Tables, views and partitions are made ahead of the transaction that needs them, each in a
transaction of its own: what is made by it is of no consequence until it is used. One advisory lock
makes all who change the schema take their turns. A partition is created by itself and then
attached, which disturbs nobody who reads or writes at the time.

Must never: change a table that is not ours.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import attrs
import psycopg
from psycopg.sql import SQL, Identifier, Literal

from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.days import identity_of
from gsc_trio.store.ledger import find_dataset
from gsc_trio.store.postgres.address import Address
from gsc_trio.store.postgres.ledger import add_dataset
from gsc_trio.store.postgres.reports import create_report_views
from gsc_trio.store.postgres.sql import SharedSql
from gsc_trio.store.postgres.views import create_views
from gsc_trio.store.schema import column_of, dimensions_from_text, table_of

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA_LOCK = 0x67736374_00000001
"""The advisory lock of whoever changes the schema; the letters ``gsct`` come first."""

_TEXT = 'text COLLATE "C"'

_FIRST_SCHEMA = f"""
CREATE TABLE dataset (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_url {_TEXT} NOT NULL, search_type {_TEXT} NOT NULL, dimensions {_TEXT} NOT NULL,
  aggregation_type {_TEXT} NOT NULL DEFAULT 'auto', filters {_TEXT} NOT NULL DEFAULT '',
  UNIQUE (site_url, search_type, dimensions, aggregation_type, filters)
);
CREATE TABLE page_ledger (
  dataset_id integer NOT NULL REFERENCES dataset, data_date date NOT NULL,
  start_row integer NOT NULL, row_limit integer NOT NULL, row_count integer NOT NULL,
  data_state {_TEXT} NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (dataset_id, data_date, start_row)
);
CREATE TABLE in_flight (
  dataset_id integer NOT NULL REFERENCES dataset, data_date date NOT NULL,
  start_row integer NOT NULL, worker {_TEXT} NOT NULL, since_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (dataset_id, data_date, start_row)
);
CREATE TABLE quota_grant (
  limiter {_TEXT} NOT NULL, number bigint NOT NULL, "user" {_TEXT} NOT NULL,
  site_url {_TEXT} NOT NULL, queries integer NOT NULL, boot {_TEXT} NOT NULL,
  sent_wall_seconds double precision NOT NULL, sent_monotonic_seconds double precision NOT NULL,
  answered_wall_seconds double precision, answered_monotonic_seconds double precision,
  PRIMARY KEY (limiter, number)
);
CREATE TABLE run (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  site_url {_TEXT} NOT NULL, search_type {_TEXT} NOT NULL, dimensions {_TEXT} NOT NULL,
  status {_TEXT} NOT NULL, started_at timestamptz NOT NULL,
  duration_seconds double precision NOT NULL, record text NOT NULL
);
CREATE TABLE url_inspection (
  site_url {_TEXT} NOT NULL, inspection_url {_TEXT} NOT NULL, inspected_at timestamptz NOT NULL,
  verdict text NOT NULL, coverage_state text NOT NULL, robots_txt_state text NOT NULL,
  indexing_state text NOT NULL, page_fetch_state text NOT NULL, last_crawl_time text,
  google_canonical text, user_canonical text, crawled_as text, sitemaps text NOT NULL,
  referring_urls text NOT NULL, result text NOT NULL,
  PRIMARY KEY (site_url, inspection_url, inspected_at)
);
CREATE TABLE shard_leases (
  shard {_TEXT} PRIMARY KEY, token bigint NOT NULL, holder text NOT NULL,
  taken_at timestamptz NOT NULL
);
"""

MIGRATIONS = (_FIRST_SCHEMA,)
"""Each makes the next version out of the one before; one that was released is never edited."""

_MARK = "gsc_trio_schema"
"""The table whose one row says which version of the schema there is."""


def version_of(connection: Connection) -> int:
    """Which version of the schema there is; 0 for none."""
    if not _has_table(connection, _MARK):
        return 0
    row = connection.execute(f"SELECT version FROM {_MARK}").fetchone()
    return int(row[0]) if row else 0


def check_schema(connection: Connection, address: Address, *, read_only: bool) -> None:
    """Refuse what is not ours, not there, or of another version.

    Raises:
        UsageError: the message says what to do.
    """
    # First the table, then the mark: another process may make both in between.
    has_datasets = _has_table(connection, "dataset")
    version = version_of(connection)
    if version > len(MIGRATIONS):
        raise UsageError(f"{address} was made by a newer gsc-trio: update gsc-trio to use it")
    if read_only and version == 0:
        raise UsageError(f"{address} holds nothing of gsc-trio yet: a backfill makes its tables")
    if read_only and version < len(MIGRATIONS):
        raise UsageError(f"{address} was made by an older gsc-trio: a run brings it up to date")
    if version == 0 and has_datasets:
        raise UsageError(
            f"{address} has a table 'dataset' of another program: name another database, or a "
            "schema of its own with ?options=-csearch_path%3DSCHEMA"
        )


def migrate(connection: Connection, address: Address) -> None:
    """Bring the schema to this version; whoever comes second finds it done."""
    with connection.transaction():
        _take_turn(connection)
        check_schema(connection, address, read_only=False)
        version = version_of(connection)
        if version == len(MIGRATIONS):
            return
        connection.execute(f"CREATE TABLE IF NOT EXISTS {_MARK} (version integer NOT NULL)")
        for migration in MIGRATIONS[version:]:
            connection.execute(migration)
        connection.execute(f"DELETE FROM {_MARK}")
        connection.execute(f"INSERT INTO {_MARK} VALUES (%s)", [len(MIGRATIONS)])
        refresh_views(connection)


def create_dataset(connection: Connection, query: SearchAnalyticsQuery) -> int:
    """The number of a query's dataset; it, its table and views over that are made if need be."""
    dataset_id = find_dataset(SharedSql(connection), query)
    if dataset_id is not None:
        return dataset_id
    with connection.transaction():
        _take_turn(connection)
        add_dataset(connection, identity_of(query))
        table = table_of(query.dimensions)
        if not _has_table(connection, table):
            _create_rows_table(connection, table, query.dimensions)
            refresh_views(connection)
    return create_dataset(connection, query)


def _create_rows_table(connection: Connection, table: str, dimensions: tuple[str, ...]) -> None:
    columns = "".join(f"{column_of(name)} {_TEXT} NOT NULL, " for name in dimensions)
    connection.execute(
        f"CREATE TABLE {table} (dataset_id integer NOT NULL, data_date date NOT NULL, "
        f"row_number integer NOT NULL, {columns}clicks bigint NOT NULL, "
        "impressions bigint NOT NULL, sum_position double precision, "
        "PRIMARY KEY (dataset_id, data_date, row_number)) PARTITION BY RANGE (data_date)"
    )


@attrs.frozen
class Partition:
    """A month of a table of rows."""

    table: str
    first_day: dt.date

    @classmethod
    def of(cls, dimensions: tuple[str, ...], day: dt.date) -> Partition:
        """The one that a day's rows are in."""
        return cls(table_of(dimensions), day.replace(day=1))

    @property
    def name(self) -> str:
        """Its own name as a table."""
        return f"{self.table}_{self.first_day:%Y_%m}"

    def create(self, connection: Connection) -> None:
        """Create it if it is not there."""
        if _has_table(connection, self.name):
            return
        following = (self.first_day + dt.timedelta(days=31)).replace(day=1)
        name, table = Identifier(self.name), Identifier(self.table)
        with connection.transaction():
            _take_turn(connection)
            if _has_table(connection, self.name):
                return
            connection.execute(
                SQL("CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS)").format(name, table)
            )
            connection.execute(
                SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                    table, name, Literal(self.first_day), Literal(following)
                )
            )


def refresh_views(connection: Connection) -> None:
    """Make the views cover every table of rows that there is."""
    tables = {dimensions: table_of(dimensions) for dimensions in _tabled_dimensions(connection)}
    create_views(connection, tables)
    create_report_views(connection, tables)


def _tabled_dimensions(connection: Connection) -> Iterator[tuple[str, ...]]:
    found = connection.execute("SELECT DISTINCT dimensions FROM dataset ORDER BY dimensions")
    for (text,) in found.fetchall():
        dimensions = dimensions_from_text(text)
        if _has_table(connection, table_of(dimensions)):
            yield dimensions


def _take_turn(connection: Connection) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEMA_LOCK])


def _has_table(connection: Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE relname = %s AND nspname = current_schema() AND relkind IN ('r', 'p')",
        [name],
    ).fetchone()
    return row is not None
