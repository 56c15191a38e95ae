"""What a database has to export: datasets, their complete days, and the rows of one.

Responsible for: reading, in whatever order rows and days are wanted; the columns' names outside.
Must never: change anything, or hold a transaction for longer than it takes to read one day, since
a long one keeps SQLite's log from being emptied, and Postgres from clearing up.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import attrs

from gsc_trio.filters import filters_as_text
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store import ledger
from gsc_trio.store.schema import (
    DATASET_IDENTITY,
    column_of,
    dimensions_from_text,
    table_of,
)
from gsc_trio.store.sql import SqlConnection

_FORMAT = 1
"""Part of every version: when what is exported changes, all days count as changed."""


StoredRow = tuple[str | int | float | None, ...]
"""The values of `Dataset.columns`."""


@attrs.frozen
class Dataset:
    """What one query's rows are kept as."""

    site_url: str
    search_type: str
    dimensions: tuple[str, ...]
    aggregation_type: str = "auto"
    filters: str = ""
    """As `gsc_trio.filters.filters_as_text` writes them."""
    id: int = 0
    """Its number in the database."""

    @classmethod
    def of_query(cls, query: SearchAnalyticsQuery, dataset_id: int = 0) -> Dataset:
        """What a query's rows are kept as."""
        return cls(
            query.site_url,
            query.search_type,
            query.dimensions,
            query.aggregation_type,
            filters_as_text(query.filters),
            dataset_id,
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the property, counted as Google does by itself."""
        return self.aggregation_type == "auto" and not self.filters

    @property
    def table(self) -> str:
        """Its table in the database."""
        return table_of(self.dimensions)

    @property
    def name(self) -> str:
        """What its table is called outside, where a part of the property has one of its own."""
        return self.table if self.is_whole else f"{self.table}_filtered"

    @property
    def names(self) -> dict[str, str]:
        """What tells it from others in that table."""
        names = {"site_url": self.site_url, "search_type": self.search_type}
        if not self.is_whole:
            names |= {"aggregation_type": self.aggregation_type, "filters": self.filters}
        return names

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of its rows, called as in BigQuery's bulk export."""
        return (*map(exported_name, self.dimensions), "clicks", "impressions", self.position)

    @property
    def position(self) -> str:
        """The column of positions, which BigQuery calls differently where there is no page."""
        is_of_site = self.is_whole and not {"page", "hour"} & {*self.dimensions}
        return "sum_top_position" if is_of_site else "sum_position"


@attrs.frozen
class DatasetDays:
    """A dataset with the days that are complete."""

    dataset: Dataset
    versions: dict[dt.date, str]
    """For each complete day a text that changes when the day is written again; oldest day first."""
    days_incomplete: int
    """Days of which something is stored, but not all."""


@attrs.frozen
class DayContent:
    """All of a day, as it was at one instant."""

    version: str
    rows: list[StoredRow]
    """In Google's order: most clicks first."""
    row_numbers: Sequence[int]
    """Of each row its place in Google's answers. There are gaps where rows were repeated."""


def exported_name(dimension: str) -> str:
    """The column of a dimension outside: ``page`` is ``url``."""
    return "url" if dimension == "page" else column_of(dimension)


def read_datasets(connection: SqlConnection) -> list[Dataset]:
    """All datasets, in the order of what tells them apart."""
    columns = ", ".join(DATASET_IDENTITY)
    return [
        Dataset(site_url, search_type, dimensions_from_text(dimensions), aggregation, filters, id_)
        for site_url, search_type, dimensions, aggregation, filters, id_ in connection.execute(
            f"SELECT {columns}, id FROM dataset ORDER BY {columns}"
        )
    ]


def read_days(
    connection: SqlConnection,
    dataset: Dataset,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
) -> DatasetDays:
    """The days of a dataset from start to end, inclusive, whatever their data state."""
    with reading(connection):
        days = ledger.stored_days(connection, dataset.id, data_state="all", start=start, end=end)
        versions = {
            day: _version(connection, dataset, day)
            for day, stored in sorted(days.items())
            if stored.is_complete
        }
    return DatasetDays(dataset, versions, len(days) - len(versions))


def read_day(connection: SqlConnection, dataset: Dataset, day: dt.date) -> DayContent | None:
    """All of a day; None if it is not complete any more."""
    columns = ", ".join((*map(column_of, dataset.dimensions), "clicks, impressions, sum_position"))
    select = (
        f"SELECT {columns} FROM {dataset.table} "
        "WHERE dataset_id = ? AND data_date = ? ORDER BY row_number"
    )
    with reading(connection):
        stored = ledger.stored_days(connection, dataset.id, data_state="all", start=day, end=day)
        if day not in stored or not stored[day].is_complete:
            return None
        rows = connection.execute(select, (dataset.id, day.isoformat())).fetchall()
        return DayContent(
            _version(connection, dataset, day),
            rows,
            _row_numbers(connection, dataset, day, len(rows)),
        )


@contextmanager
def reading(connection: SqlConnection) -> Iterator[None]:
    """See one state of the database; part of a transaction where there is one already."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(Exception):  # what went wrong before tells more
            connection.execute("ROLLBACK")


def _row_numbers(
    connection: SqlConnection, dataset: Dataset, day: dt.date, row_count: int
) -> Sequence[int]:
    names = (dataset.id, day.isoformat())
    from_day = f"FROM {dataset.table} WHERE dataset_id = ? AND data_date = ?"
    [largest] = connection.execute(f"SELECT MAX(row_number) {from_day}", names).fetchone()
    if not row_count or largest == row_count - 1:
        return range(row_count)
    numbers = connection.execute(f"SELECT row_number {from_day} ORDER BY row_number", names)
    return [number for (number,) in numbers]


def _version(connection: SqlConnection, dataset: Dataset, day: dt.date) -> str:
    pages = connection.execute(
        "SELECT start_row, row_count, data_state, committed_at FROM page_ledger "
        "WHERE dataset_id = ? AND data_date = ? ORDER BY start_row",
        (dataset.id, day.isoformat()),
    )
    return "; ".join((f"format {_FORMAT}", *(" ".join(map(str, page)) for page in pages)))
