"""What the entries of a ledger say of days and of datasets, whatever database they come from.

Responsible for: reading from the ledger where a day goes on. Must never: know of SQL.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs

from gsc_trio.filters import filters_as_text, filters_from_text
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.base import Coverage, StoredDay
from gsc_trio.store.schema import dimensions_as_text, dimensions_from_text

Identity = tuple[str, ...]
"""A dataset's values for the columns of `gsc_trio.store.schema.DATASET_IDENTITY`."""


@attrs.frozen
class LedgerEntry:
    """A page in the ledger."""

    data_date: dt.date
    start_row: int
    row_limit: int
    row_count: int
    data_state: str


def identity_of(query: SearchAnalyticsQuery) -> Identity:
    """What tells a query's dataset from others."""
    return (
        query.site_url,
        query.search_type,
        dimensions_as_text(query.dimensions),
        query.aggregation_type,
        filters_as_text(query.filters),
    )


def days_of(entries: Iterable[LedgerEntry], data_state: str) -> dict[dt.date, StoredDay]:
    """What there is of each day, for a query with this data state."""
    entries_of_day: dict[dt.date, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        entries_of_day[entry.data_date].append(entry)
    days = {}
    for data_date, pages in entries_of_day.items():
        # Rows do not know which page they came on, so one page that may not have been final
        # puts the whole day in doubt.
        if data_state == "final" and any(page.data_state != "final" for page in pages):
            continue
        day = _follow(pages)
        if day is not None:
            days[data_date] = day
    return days


def coverage_of(
    identity: Identity,
    days: Mapping[dt.date, StoredDay],
    in_flight: int,
    in_flight_since: dt.datetime | None,
) -> Coverage:
    """Sum up a dataset."""
    site_url, search_type, dimensions, aggregation_type, filters = identity
    complete = sum(day.is_complete for day in days.values())
    first, last = min(days, default=None), max(days, default=None)
    span = (last - first).days + 1 if first and last else 0
    return Coverage(
        site_url=site_url,
        search_type=search_type,
        dimensions=dimensions_from_text(dimensions),
        days_complete=complete,
        days_missing=span - complete,
        rows=sum(day.rows for day in days.values()),
        first_day=first,
        last_day=last,
        in_flight=in_flight,
        in_flight_since=in_flight_since,
        aggregation_type=aggregation_type,
        filters=filters_from_text(filters),
    )


def _follow(pages: Iterable[LedgerEntry]) -> StoredDay | None:
    """Go from page to page, from row 0, as long as each begins where the last one ended.

    A page is the day's last by its own ``row_limit``, which may differ from run to run.
    """
    by_start = {page.start_row: page for page in pages}
    rows = 0
    while (page := by_start.get(rows)) is not None:
        rows += page.row_count
        if page.row_count < page.row_limit:
            return StoredDay(rows, is_complete=True)
    return StoredDay(rows, is_complete=False) if rows else None
