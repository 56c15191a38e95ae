"""Whether what is stored is what the fake holds, row for row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import attrs

from gsc_trio.cli.run import BackfillRequest
from gsc_trio.model import Row
from gsc_trio.paginator import days_backwards
from gsc_trio.testing import SimulatedProperty

_STORED_ROWS = """
    SELECT url, query, clicks, impressions, sum_position FROM searchdata_url_impression
    WHERE site_url = ? AND search_type = ? AND dimensions = 'page,query' AND data_date = ?
"""

_Fact = tuple[object, ...]


@attrs.frozen
class Comparison:
    """What came out."""

    rows: int
    """Rows that the fake holds."""
    differences: tuple[str, ...]
    """A line for each day that is not the same."""


def compare(request: BackfillRequest, simulated: SimulatedProperty) -> Comparison:
    """Compare every day of a request, by page and query, with the property it came from."""
    query, total, differences = request.query, 0, []
    with closing(sqlite3.connect(str(request.database))) as connection:
        for day in days_backwards(request.start, request.end):
            rows = simulated.rows(day, query.search_type, query.dimensions)
            held = set(_facts(rows))
            arguments = (query.site_url, query.search_type, day.isoformat())
            stored = connection.execute(_STORED_ROWS, arguments).fetchall()
            total += len(rows)
            if len(stored) != len(rows) or set(stored) != held:
                differences.append(
                    f"{day}: {len(stored):,} rows are stored, the server holds {len(rows):,}, "
                    f"{len(held.intersection(stored)):,} are the same"
                )
    return Comparison(total, tuple(differences))


def _facts(rows: list[Row]) -> Iterator[_Fact]:
    """Rows as they must be stored."""
    for row in rows:
        sum_position = None if row.position is None else (row.position - 1) * row.impressions
        yield (*row.keys, row.clicks, row.impressions, sum_position)
