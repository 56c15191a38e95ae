"""What is fetched: a cassette, and what follows from it for plan, ideal and check."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from pathlib import Path

import attrs

from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing import (
    Cassette,
    SimulatedProperty,
    read_cassette,
    record_simulated,
    write_cassette,
)

DAYS = 150
LAST_DAY = dt.date(2026, 6, 30)
"""Fixed, so that the cassettes are the same in every run."""


_SECTION = "household-and-kitchen/appliances/small-kitchen-appliances/"
"""Makes URLs so long that a row is about as long as one of Google's: 200 bytes of JSON."""


@attrs.frozen
class Property:
    """A property to be simulated."""

    name: str
    rows_per_day: int
    distinct_days: int
    """How many days have rows of their own; the others repeat them, to be made in seconds."""


PROPERTIES = {
    each.name: each
    for each in (
        Property("small", 50, distinct_days=DAYS),
        Property("middle", 5_000, distinct_days=15),
        Property("full", 50_000, distinct_days=5),
    )
}
"""In three calls a day: 25,000 rows, 25,000 rows, and none, since a full page is never the last."""


@attrs.frozen
class Workload:
    """A cassette's one query over its days."""

    name: str
    path: Path = attrs.field(repr=False)
    """Where the cassette is."""
    label: str
    query: SearchAnalyticsQuery
    start: dt.date
    end: dt.date
    days: list[list[int]] = attrs.field(repr=False)
    """For each day the rows of each of its calls, one after another."""

    @property
    def calls(self) -> int:
        """How many there are to make."""
        return sum(map(len, self.days))

    @property
    def rows(self) -> int:
        """How many rows there are to store."""
        return sum(map(sum, self.days))

    def __str__(self) -> str:
        return f"{self.name}: {len(self.days)} days, {self.calls:,} calls, {self.rows:,} rows"


def make_workload(simulated: Property, folder: Path, days: int = DAYS) -> Workload:
    """Simulate a property into a cassette in a folder."""
    dates = [LAST_DAY - dt.timedelta(days=number) for number in range(days)]
    cassette = record_simulated(
        SimulatedProperty(
            f"https://www.{simulated.name}.example/{_SECTION}",
            seed=1,
            rows_by_day=dict.fromkeys(dates, simulated.rows_per_day),
        ),
        start=dates[-1],
        end=dates[0],
        distinct_days=simulated.distinct_days,
    )
    path = folder / f"{simulated.name}.cassette"
    write_cassette(cassette, path)
    return _workload(simulated.name, path, cassette)


def read_workload(path: Path) -> Workload:
    """Take a cassette of the user's own.

    Raises:
        UsageError: it is no cassette, or cannot be fetched in one backfill.
    """
    return _workload(path.stem, path, read_cassette(path))


def _workload(name: str, path: Path, cassette: Cassette) -> Workload:
    queries = {
        SearchAnalyticsQuery(
            request.site_url,
            request.search_type,
            request.dimensions,
            request.data_state,
            request.row_limit,
        )
        for request in cassette.answers
    }
    if len(queries) > 1:
        raise UsageError(
            f"{path} holds {len(queries)} different queries: use a cassette of one property, "
            "search type, set of dimensions, data state and row limit"
        )
    (query,) = queries
    rows: dict[dt.date, dict[int, int]] = defaultdict(dict)
    for request, answer in cassette.answers.items():
        if answer.status != 200:
            raise UsageError(f"{path} holds an answer with status {answer.status}: use one without")
        rows[request.data_date][request.start_row] = answer.rows
    start, end = min(rows), max(rows)
    dates = [start + dt.timedelta(days=number) for number in range((end - start).days + 1)]
    return Workload(
        name=name,
        path=path,
        label=cassette.label,
        query=query,
        start=start,
        end=end,
        days=[_calls_of(rows[date], date, query.row_limit, path) for date in dates],
    )


def _calls_of(
    rows_by_start_row: dict[int, int], date: dt.date, row_limit: int, path: Path
) -> list[int]:
    """The rows of each call that a backfill makes for a day: until a page is not full."""
    calls = [row_limit]
    while calls[-1] >= row_limit:
        rows = rows_by_start_row.get(sum(calls[1:]))
        if rows is None:
            raise UsageError(f"{path} has no answer for {date} from row {sum(calls[1:]):,}")
        calls.append(rows)
    return calls[1:]
