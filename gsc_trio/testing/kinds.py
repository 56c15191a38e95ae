"""Every kind of data of a simulated property: by the hour, and what is left of it by filters.

Rows that a filter is held against are made by the dimensions asked for and those of the filters
together; what is left is added up by the dimensions asked for, as Google does.
"""

from __future__ import annotations

import datetime as dt
import re
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import attrs
import msgspec

from gsc_trio.dates import PACIFIC_TIME
from gsc_trio.model import DIMENSIONS, Row
from gsc_trio.testing.property import APPEARANCES, SimulatedProperty, WireRow
from gsc_trio.testing.query_request import RequestedFilter

_decoder = msgspec.json.Decoder(Row)
_encoder = msgspec.json.Encoder()


def rows_of_kind(
    simulated: SimulatedProperty,
    day: dt.date,
    search_type: str,
    dimensions: tuple[str, ...],
    filters: tuple[RequestedFilter, ...] = (),
) -> tuple[bytes, ...]:
    """A day's rows as JSON, most clicks first.

    Args:
        simulated: whose rows they are.
        day: which day.
        search_type: as in the API.
        dimensions: in the order in which ``keys`` are wanted.
        filters: conditions that all must hold.
    """
    if not filters and "hour" not in dimensions:
        return simulated.encoded_rows(day, search_type, dimensions)
    return _chosen_rows(_Source(simulated, day, search_type), dimensions, filters)


def hours_of(day: dt.date) -> list[str]:
    """A day's hours as the API writes them; there are 23 or 25 when clocks are set."""
    start, end = (
        dt.datetime.combine(date, dt.time(), PACIFIC_TIME).astimezone(dt.UTC)
        for date in (day, day + dt.timedelta(days=1))
    )
    count = (end - start) // dt.timedelta(hours=1)
    hours = (start + dt.timedelta(hours=number) for number in range(count))
    return [hour.astimezone(PACIFIC_TIME).isoformat() for hour in hours]


@attrs.frozen
class _Source:
    """A day of a property."""

    simulated: SimulatedProperty = attrs.field(hash=False)
    day: dt.date
    search_type: str

    def rows(self, dimensions: tuple[str, ...]) -> list[Row]:
        """Its rows by any dimensions, also those that Google does not combine."""
        added = tuple(name for name in dimensions if name in {"hour", "searchAppearance"})
        plain = tuple(name for name in dimensions if name not in added)
        if dimensions == ("searchAppearance",):
            added, plain = (), dimensions
        rows = self.simulated.rows(self.day, self.search_type, plain)
        for name in added:
            values = hours_of(self.day) if name == "hour" else [*APPEARANCES, ""]
            rows = _spread(rows, values) if len(rows) == 1 else _dealt(rows, values)
        order = [(*plain, *added).index(name) for name in dimensions]
        return [
            msgspec.structs.replace(row, keys=tuple(row.keys[place] for place in order))
            for row in rows
        ]


def _dealt(rows: Sequence[Row], values: Sequence[str]) -> list[Row]:
    """Each row with one of the values more, which follows from its keys."""
    return [
        msgspec.structs.replace(row, keys=(*row.keys, values[_number(row.keys) % len(values)]))
        for row in rows
    ]


def _spread(rows: Sequence[Row], values: Sequence[str]) -> list[Row]:
    """The one row's clicks over all the values."""
    [row] = rows
    share = row.impressions // len(values) + 1
    return [
        Row((*row.keys, value), row.clicks // len(values), share, row.position) for value in values
    ]


def _number(keys: tuple[str, ...]) -> int:
    return zlib.crc32("\0".join(keys).encode())


@lru_cache(maxsize=512)
def _chosen_rows(
    source: _Source, dimensions: tuple[str, ...], filters: tuple[RequestedFilter, ...]
) -> tuple[bytes, ...]:
    extra = {each.dimension for each in filters} - {*dimensions}
    combined = (*dimensions, *(name for name in DIMENSIONS if name in extra))
    tests = [(combined.index(each.dimension), _test_of(each)) for each in filters]
    sums: dict[tuple[str, ...], WireRow] = {}
    for row in source.rows(combined):
        if all(test(row.keys[place]) for place, test in tests):
            keys = row.keys[: len(dimensions)]
            sums[keys] = _added(sums.get(keys), keys, row)
    rows = sorted(sums.values(), key=lambda row: (-(row.clicks or 0), row.keys))
    return tuple(map(_encoder.encode, rows))


def _added(before: WireRow | None, keys: tuple[str, ...], row: Row) -> WireRow:
    """A sum and one row more; its position is the mean over impressions."""
    clicks, impressions, position = row.clicks, row.impressions, row.position
    if before is not None:
        seen = before.impressions or 0.0
        if position is not None and before.position is not None and seen + impressions:
            total = before.position * seen + position * impressions
            position = total / (seen + impressions)
        clicks, impressions = clicks + (before.clicks or 0.0), impressions + seen
    ratio = clicks / impressions if impressions else 0
    return WireRow(keys, clicks, impressions, ratio, position)


def _test_of(condition: RequestedFilter) -> Callable[[str], bool]:
    expression = condition.expression
    tests: dict[str, Callable[[str], bool]] = {
        "equals": lambda value: value == expression,
        "contains": lambda value: expression.lower() in value.lower(),
        "includingRegex": lambda value: re.search(expression, value) is not None,
    }
    opposites = {
        "notEquals": "equals",
        "notContains": "contains",
        "excludingRegex": "includingRegex",
    }
    if condition.operator in tests:
        return tests[condition.operator]
    holds = tests[opposites[condition.operator]]
    return lambda value: not holds(value)
