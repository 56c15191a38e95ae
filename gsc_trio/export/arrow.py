"""Rows as Arrow: what pandas, Polars, DuckDB and Parquet take without going through each value.

Responsible for: the types of the columns, and turning a day's rows into them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from gsc_trio.export.dataset import Dataset, StoredRow, read_day
from gsc_trio.export.extras import load
from gsc_trio.export.plan import plan_of
from gsc_trio.export.source import opened_source
from gsc_trio.model import SearchAnalyticsQuery

if TYPE_CHECKING:
    from gsc_trio.store.location import LocationName


def read_arrow(
    database: LocationName,
    query: SearchAnalyticsQuery,
    *,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
) -> Any:
    """The rows that a query has in a database, as one table in memory.

    Args:
        database: the SQLite file, or the address of a Postgres database; it may be in use.
        query: whose rows; its data state and row limit do not matter, everything else does.
        start: the first day.
        end: the last day, included.

    Returns:
        A `pyarrow.Table`: ``data_date``, the dimensions, ``clicks``, ``impressions``,
        ``sum_position``; oldest day first, and within a day as Google gave them. The average
        position is ``sum(sum_position) / sum(impressions) + 1``.

    Raises:
        UsageError: pyarrow is not installed, or there is no complete day.
        StorageError: the database cannot be read.
    """
    with open_arrow_reader(database, query, start=start, end=end) as reader:
        return reader.read_all()


@contextmanager
def open_arrow_reader(
    database: LocationName,
    query: SearchAnalyticsQuery,
    *,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
) -> Iterator[Any]:
    """The same day by day, for more rows than fit into memory.

    ::

        with open_arrow_reader("gsc.db", query) as days:
            duckdb.sql("SELECT url, SUM(clicks) FROM days GROUP BY url")

    Args and errors are those of `read_arrow`.

    Returns:
        A `pyarrow.RecordBatchReader` with one batch for each day that has rows.
    """
    pyarrow = load("pyarrow", "reading a database as Arrow")
    wanted = Dataset.of_query(query)
    with opened_source(database) as source:
        [days] = plan_of(
            source, lambda found: attrs.evolve(found, id=0) == wanted, start, end
        ).datasets

        def batches() -> Iterator[Any]:
            for day in days.versions:
                found = read_day(source.connection, days.dataset, day)
                if found is not None:
                    yield from with_day(table_of(days.dataset, found.rows), day).to_batches()

        schema = with_day(table_of(days.dataset, []), start).schema
        yield pyarrow.RecordBatchReader.from_batches(schema, batches())


def table_of(dataset: Dataset, rows: Sequence[StoredRow]) -> Any:
    """A day's rows as a `pyarrow.Table` with `Dataset.columns`."""
    pyarrow = load("pyarrow", "this export")
    text, whole = pyarrow.string(), pyarrow.int64()
    types = [*[text] * len(dataset.dimensions), whole, whole, pyarrow.float64()]
    columns = zip(*rows, strict=True) if rows else [()] * len(types)
    arrays = [pyarrow.array(column, type_) for column, type_ in zip(columns, types, strict=True)]
    fields = [
        pyarrow.field(name, type_, nullable=name == dataset.position)
        for name, type_ in zip(dataset.columns, types, strict=True)
    ]
    return pyarrow.table(arrays, schema=pyarrow.schema(fields))


def with_day(table: Any, day: dt.date) -> Any:
    """The table with ``data_date`` as its first column."""
    pyarrow = load("pyarrow", "this export")
    field = pyarrow.field("data_date", pyarrow.date32(), nullable=False)
    days = pyarrow.repeat(pyarrow.scalar(day, pyarrow.date32()), table.num_rows)
    return table.add_column(0, field, days)
