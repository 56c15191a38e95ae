"""The database's tables, and how an older database becomes a newer one.

Responsible for: what tables there are and what they are called; the marks in the file's header
(``application_id``, ``user_version``) by which a database of ours is known.
Must never: put a value (a property's name, a query) into SQL text, or change a table outside the
caller's transaction.

Every set of dimensions has a table of its own. The key of its rows is the dataset, the day and the
row's number in Google's answer, which begins at 0 with the most clicks; `gsc_trio.store.rows` sees
to it that no two rows of a day have the same dimensions. Days descend in it, as they are fetched:
rows are then appended. All these tables are ``WITHOUT ROWID``: the key is the table, and its order
does not depend on when a row came.

A column that holds a clock time ends in ``_at``. Two runs that fetched the same differ in no
other column.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gsc_trio.store.reports import create_report_views
from gsc_trio.store.views import create_views

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID = 0x67736374
"""The letters ``gsct`` in the file's header: a database of this package."""

PAGE_SIZE_BYTES = 16_384
"""A full page of Search Console rows goes in about a fifth faster than with SQLite's 4,096."""

QUOTA_TABLE = "quota_grant"
"""What was sent lately: it tells of runs, not of what they fetched."""

RUN_TABLE = "run"
"""What the last runs did, and when."""

TABLES_OF_RUNS = {QUOTA_TABLE, RUN_TABLE}
"""They tell of runs, not of what was fetched: two databases with the same data differ in them."""

INSPECTION_TABLE = "url_inspection"
"""What Google's index had of a URL, each time that it was asked."""

DATASET_IDENTITY = ("site_url", "search_type", "dimensions", "aggregation_type", "filters")
"""The columns by which datasets are told apart; data of different ones is never mixed."""

_KEYED_BY_DATASET = [("dataset_id", "dataset", "id")]


def as_sqlite_utils(connection: sqlite3.Connection) -> Database:
    """The connection for sqlite-utils, with none of the user's plugins run on it."""
    from sqlite_utils import Database  # noqa: PLC0415 - it may load pandas; see gsc_trio.cli.interpreter

    return Database(connection, recursive_triggers=False, execute_plugins=False)


def column_of(dimension: str) -> str:
    """The column of a dimension: ``searchAppearance`` is ``search_appearance``."""
    return "search_appearance" if dimension == "searchAppearance" else dimension


def table_of(dimensions: tuple[str, ...]) -> str:
    """The table of a set of dimensions, as ``search_analytics_by_page_query``."""
    columns = [column_of(dimension) for dimension in dimensions] or ["date"]
    return "_".join(("search_analytics_by", *columns))


def dimensions_as_text(dimensions: tuple[str, ...]) -> str:
    """How a dataset's row names its dimensions: ``page,query``."""
    return ",".join(dimensions)


def dimensions_from_text(text: str) -> tuple[str, ...]:
    """The inverse of `dimensions_as_text`."""
    return tuple(text.split(",")) if text else ()


def create_rows_table(database: Database, dimensions: tuple[str, ...]) -> None:
    """Create the table of a set of dimensions if there is none, and the views that include it."""
    if table_of(dimensions) not in database.table_names():
        _create_rows_table(database, dimensions)
        refresh_views(database)


def _create_rows_table(database: Database, dimensions: tuple[str, ...]) -> None:
    columns = [column_of(dimension) for dimension in dimensions]
    key = ("dataset_id", "data_date", "row_number")
    _create_table(
        database,
        table_of(dimensions),
        {
            "dataset_id": int,
            "data_date": str,
            "row_number": int,
            **dict.fromkeys(columns, str),
            "clicks": int,
            "impressions": int,
            # NULL where Google gives no position: discover, googleNews.
            "sum_position": float,
        },
        key=key,
        not_null={*key, *columns, "clicks", "impressions"},
        descending="data_date",
    )


def refresh_views(database: Database) -> None:
    """Make the views cover every table of rows that there is."""
    tables = {dimensions: table_of(dimensions) for dimensions in _stored_dimensions(database)}
    create_views(database, tables)
    create_report_views(database, tables)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema from the version that the file has to this one.

    The caller holds a transaction, so that a database is never left between two versions.
    """
    is_ours = _pragma(connection, "application_id") == APPLICATION_ID
    version = _pragma(connection, "user_version") if is_ours else 0
    database = as_sqlite_utils(connection)
    for view in database.view_names():  # one that names a table keeps it from being renamed
        database.view(view).drop()
    for migration in MIGRATIONS[version:]:
        migration(database)
    refresh_views(database)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _create_first_schema(database: Database) -> None:
    database.create_table(
        "dataset",
        {"id": int, "site_url": str, "search_type": str, "dimensions": str},
        pk="id",
        not_null={"site_url", "search_type", "dimensions"},
    )
    database.table("dataset").create_index(["site_url", "search_type", "dimensions"], unique=True)
    key = ("dataset_id", "data_date", "start_row")
    _create_table(
        database,
        "page_ledger",
        {
            "dataset_id": int,
            "data_date": str,
            "start_row": int,
            "row_limit": int,
            "row_count": int,
            "data_state": str,
            "committed_at": str,
        },
        key=key,
        not_null={*key, "row_limit", "row_count", "data_state", "committed_at"},
    )
    _create_table(
        database,
        "in_flight",
        {"dataset_id": int, "data_date": str, "start_row": int, "worker": str, "since_at": str},
        key=key,
        not_null={*key, "worker", "since_at"},
    )


def _add_quota_grants(database: Database) -> None:
    key = ("limiter", "number")
    columns = {
        "limiter": str,
        "number": int,
        "user": str,
        "site_url": str,
        "queries": int,
        "boot": str,
        "sent_wall_seconds": float,
        "sent_monotonic_seconds": float,
        "answered_wall_seconds": float,
        "answered_monotonic_seconds": float,
    }
    answered = {"answered_wall_seconds", "answered_monotonic_seconds"}
    _create_table(database, QUOTA_TABLE, columns, key=key, not_null={*columns} - answered)


def _number_rows(database: Database) -> None:
    """Give rows that had their dimensions as the key the numbers that Google's order gives them."""
    for dimensions in list(_stored_dimensions(database)):
        table = table_of(dimensions)
        database.rename_table(table, "unnumbered")
        _create_rows_table(database, dimensions)
        columns = ", ".join(map(column_of, dimensions)) or "data_date"
        measures = "clicks, impressions, sum_position"
        order = f"clicks DESC, impressions DESC, {columns}"
        database.execute(
            f"INSERT INTO {table} SELECT dataset_id, data_date, row_number() OVER "
            f"(PARTITION BY dataset_id, data_date ORDER BY {order}) - 1, "
            f"{''.join(f'{column_of(dimension)}, ' for dimension in dimensions)}{measures} "
            "FROM unnumbered"
        )
        database.table("unnumbered").drop()


def _add_runs(database: Database) -> None:
    columns = {
        "number": int,
        "site_url": str,
        "search_type": str,
        "dimensions": str,
        "status": str,
        "started_at": str,
        "duration_seconds": float,
        "record": str,
    }
    database.create_table(RUN_TABLE, columns, pk="number", not_null={*columns} - {"number"})


def _tell_filtered_datasets_apart(database: Database) -> None:
    """Filters and the type of aggregation change the data, so they tell datasets apart, too."""
    table = database.table("dataset")
    table.add_column("aggregation_type", str, not_null_default="auto")
    table.add_column("filters", str, not_null_default="")
    database.execute("DROP INDEX idx_dataset_site_url_search_type_dimensions")
    table.create_index([*DATASET_IDENTITY], unique=True)


def _add_url_inspections(database: Database) -> None:
    key = ("site_url", "inspection_url", "inspected_at")
    states = ("verdict", "coverage_state", "robots_txt_state", "indexing_state", "page_fetch_state")
    facts = ("last_crawl_time", "google_canonical", "user_canonical", "crawled_as")
    documents = ("sitemaps", "referring_urls", "result")  # JSON
    _create_table(
        database,
        INSPECTION_TABLE,
        dict.fromkeys((*key, *states, *facts, *documents), str),
        key=key,
        not_null={*key, *states, *documents},
    )


def _add_report_views(database: Database) -> None:
    """Nothing to change in tables: views are refreshed after every migration."""


MIGRATIONS: list[Callable[[Database], None]] = [
    _create_first_schema,
    _add_quota_grants,
    _number_rows,
    _add_runs,
    _tell_filtered_datasets_apart,
    _add_url_inspections,
    _add_report_views,
]
"""Each makes the next version of the schema out of the one before; the first out of nothing.

A migration that was released is never edited: a change is a new one at the end.
"""


def _create_table(
    database: Database,
    name: str,
    columns: dict[str, type],
    *,
    key: tuple[str, ...],
    not_null: set[str],
    descending: str | None = None,
) -> None:
    foreign_keys = _KEYED_BY_DATASET if "dataset_id" in columns else None
    sql = database.create_table_sql(
        name, columns, pk=key, not_null=not_null, foreign_keys=foreign_keys
    )
    # sqlite-utils has no options for a key's order and for tables that are their key.
    sql, begin, primary_key = sql.rstrip().removesuffix(";").rpartition("PRIMARY KEY")
    if descending is not None:
        primary_key = primary_key.replace(f'"{descending}"', f'"{descending}" DESC')
    database.execute(f"{sql}{begin}{primary_key} WITHOUT ROWID")


def _stored_dimensions(database: Database) -> Iterator[tuple[str, ...]]:
    tables = set(database.table_names())
    names = database.execute("SELECT DISTINCT dimensions FROM dataset ORDER BY dimensions")
    for (text,) in names.fetchall():
        dimensions = dimensions_from_text(text)
        if table_of(dimensions) in tables:
            yield dimensions


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
