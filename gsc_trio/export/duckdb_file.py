"""A DuckDB file: a table for each set of dimensions, and the views of BigQuery's bulk export.

A day is replaced in one transaction together with its entry in ``exported_day``, which says of
which version it was made: that is what an update goes by.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.export.arrow import table_of, with_day
from gsc_trio.export.dataset import Dataset, DayContent, read_day
from gsc_trio.export.extras import load
from gsc_trio.export.plan import (
    ExportPlan,
    ExportSummary,
    OnDay,
    Selection,
    Tally,
    plan_export,
)
from gsc_trio.export.source import Source, opened_source
from gsc_trio.export.target import Existing, check_file, locked_file, replaced_file
from gsc_trio.store.schema import DATASET_IDENTITY, dimensions_as_text, dimensions_from_text
from gsc_trio.store.views import VIEWS, View

if TYPE_CHECKING:
    from gsc_trio.store.location import LocationName

_EXPORTED_DAY = """CREATE TABLE IF NOT EXISTS exported_day (
    site_url VARCHAR, search_type VARCHAR, dimensions VARCHAR, aggregation_type VARCHAR,
    filters VARCHAR, data_date DATE, version VARCHAR NOT NULL,
    PRIMARY KEY (site_url, search_type, dimensions, aggregation_type, filters, data_date)
)"""

_TYPES = {"data_date": "DATE", "impressions": "BIGINT", "clicks": "BIGINT"}
"""Of columns that are no text."""


def export_duckdb(
    database: LocationName,
    target: str | os.PathLike[str],
    selection: Selection | None = None,
    *,
    existing: Existing = Existing.REFUSE,
    on_day: OnDay = lambda done, days: None,
) -> ExportSummary:
    """Write a DuckDB file, or bring one up to date.

    Args:
        database: where the rows are, a SQLite file or the address of a Postgres database; it may be
            in use.
        target: the file. A new one appears when it is complete; an update is a transaction a day.
        selection: what to take; by default everything.
        existing: what to do with a file that is there. `Existing.UPDATE` writes the days whose
            pages were fetched again since.
        on_day: told of each day.

    Raises:
        UsageError: the target must be left alone, or there is nothing to export. Nothing was
            changed.
        StorageError: the database cannot be read, or the file not be written.
    """
    load("duckdb", "DuckDB")
    load("pyarrow", "DuckDB")
    target = Path(target)
    with opened_source(database) as source:
        check_file(target, source.file, existing)
        _check_is_closed(target)
        plan = plan_export(source, selection or Selection())
        tally = plan.tally(on_day)
        if existing is Existing.UPDATE and target.exists():
            with locked_file(target), _opened(target) as connection:
                _check_is_ours(connection, target)
                _fill(connection, source, plan, tally)
        else:
            with replaced_file(target, source.file, existing) as partial:
                log = Path(f"{partial}.wal")
                log.unlink(missing_ok=True)  # of one that was killed
                try:
                    with _opened(partial) as connection:
                        connection.execute(_EXPORTED_DAY)
                        _fill(connection, source, plan, tally)
                finally:
                    log.unlink(missing_ok=True)
        return tally.summary()


def _fill(connection: Any, source: Source, plan: ExportPlan, tally: Tally) -> None:
    for days in plan.datasets:
        _create_table(connection, days.dataset)
        there = _versions(connection, days.dataset)
        for day, version in days.versions.items():
            if there.get(day) == version:
                tally.left()
            elif (content := read_day(source.connection, days.dataset, day)) is not None:
                with _transaction(connection):
                    _replace_day(connection, days.dataset, day, content)
                tally.wrote(len(content.rows))
    with _transaction(connection):
        _create_views(connection)


def _create_table(connection: Any, dataset: Dataset) -> None:
    texts = [*dataset.names, *dataset.columns[: len(dataset.dimensions)]]
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {dataset.name} (data_date DATE NOT NULL, "
        f"{' VARCHAR NOT NULL, '.join(texts)} VARCHAR NOT NULL, clicks BIGINT NOT NULL, "
        f"impressions BIGINT NOT NULL, {dataset.position} DOUBLE)"
    )


def _versions(connection: Any, dataset: Dataset) -> dict[dt.date, str]:
    conditions = [f"{column} = ?" for column in DATASET_IDENTITY]
    select = f"SELECT data_date, version FROM exported_day WHERE {' AND '.join(conditions)}"
    return dict(connection.execute(select, _identity(dataset)).fetchall())


def _replace_day(connection: Any, dataset: Dataset, day: dt.date, content: DayContent) -> None:
    names, values = list(dataset.names), list(dataset.names.values())
    conditions = " AND ".join(f"{name} = ?" for name in ("data_date", *names))
    connection.execute(f"DELETE FROM {dataset.name} WHERE {conditions}", (day, *values))
    connection.register("day_to_insert", with_day(table_of(dataset, content.rows), day))
    chosen = ", ".join(f"? AS {name}" for name in names)
    connection.execute(
        f"INSERT INTO {dataset.name} BY NAME SELECT *, {chosen} FROM day_to_insert",
        values,
    )
    connection.unregister("day_to_insert")
    connection.execute(
        "INSERT OR REPLACE INTO exported_day VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*_identity(dataset), day, content.version),
    )


def _identity(dataset: Dataset) -> tuple[str, ...]:
    """What a dataset has for each column of `DATASET_IDENTITY`."""
    return (
        dataset.site_url,
        dataset.search_type,
        dimensions_as_text(dataset.dimensions),
        dataset.aggregation_type,
        dataset.filters,
    )


def _create_views(connection: Any) -> None:
    found = connection.execute(
        "SELECT DISTINCT dimensions, aggregation_type, filters FROM exported_day"
    ).fetchall()
    datasets = [Dataset("", "", dimensions_from_text(text), *kind) for text, *kind in found]
    tables = {dataset.name: dataset for dataset in datasets}
    for view in VIEWS:
        names = [name for name, _ in view.columns]
        # The first part gives columns a type that no table has.
        selects = [f"SELECT {', '.join(map(_typed_null, names))} WHERE false"]
        for name, dataset in sorted(tables.items()):
            if view.takes(dataset.dimensions):
                selects.append(f"SELECT * FROM {_as_in_sqlite(name, dataset)} {_where(view)}")
        sql = f"SELECT {', '.join(names)} FROM ({' UNION ALL BY NAME '.join(selects)})"
        connection.execute(f"CREATE OR REPLACE VIEW {view.name} AS {sql}")


def _as_in_sqlite(table: str, dataset: Dataset) -> str:
    """A table with all that tells datasets apart, under the name by which views refer to it."""
    kind = ", 'auto' AS aggregation_type, '' AS filters" if dataset.is_whole else ""
    dimensions = dimensions_as_text(dataset.dimensions)
    return f"(SELECT *, '{dimensions}' AS dimensions{kind} FROM {table}) AS dataset"


def _where(view: View) -> str:
    return f"WHERE {view.datasets}" if view.datasets else ""


def _typed_null(name: str) -> str:
    if "position" in name:
        return f"NULL::DOUBLE AS {name}"
    return f"NULL::{_TYPES.get(name, 'VARCHAR')} AS {name}"


def _check_is_closed(target: Path) -> None:
    log = Path(f"{target}.wal")
    if log.exists():
        raise UsageError(
            f"{target} is in use, or was not closed properly ({log.name} is beside it): close "
            "the program that has it open, or open and close it once with DuckDB"
        )


def _check_is_ours(connection: Any, target: Path) -> None:
    tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    if ("exported_day",) not in tables:
        raise UsageError(f"{target} is no export: name another file")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    duckdb = load("duckdb", "DuckDB")
    try:
        with duckdb.connect(os.fspath(path)) as connection:
            yield connection
    except duckdb.Error as error:
        raise StorageError(f"cannot write {path}: {error}") from error


@contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
