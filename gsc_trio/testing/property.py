"""Simulated properties: rows that look like Search Console's, from a seed and a date alone.

Pages have heavy-tailed numbers of queries, rows have heavy-tailed clicks, weekends are quieter,
queries are in several scripts and hold quotes. Numbers come as Google writes them: 0, 1.0 or 0.5,
and here and there a row without clicks, impressions and position.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import attrs
import msgspec

from gsc_trio.model import SEARCH_TYPES_WITHOUT_POSITION, Row
from gsc_trio.testing.totals import MAX_EXPOSED_ROWS, balanced, is_balanced

_WORDS = (
    "red shoes", "trio nursery", "how to", "best", "near me", "zürich", "日本 旅行", "l'été",
    'the "quoted" one', "café 24h", "сравнение", "price", "2026", "guide", "-5 %", "c++",
)  # fmt: skip
_COUNTRIES = (
    "usa", "deu", "gbr", "fra", "ind", "jpn", "bra", "can", "esp", "ita", "nld", "che", "aut",
    "pol", "swe", "nor", "mex", "arg", "aus", "zzz",
)  # fmt: skip
_DEVICES = ("MOBILE", "DESKTOP", "TABLET")
APPEARANCES = ("AMP_BLUE_LINK", "RICHCARD", "VIDEO", "TRANSLATED_RESULT", "PRODUCT_SNIPPETS")


class WireRow(msgspec.Struct, omit_defaults=True):
    """A row as it is written: numbers are int or float, as they fall."""

    keys: tuple[str, ...] = ()
    clicks: float | None = None
    impressions: float | None = None
    ctr: float | None = None
    position: float | None = None


@attrs.frozen
class SimulatedProperty:
    """A property with a made-up history.

    Args:
        site_url: its name.
        seed: what everything follows from.
        rows_per_day: rows of a weekday, by page and query.
        rows_by_day: days that have another number of rows; 0 for an empty day.
        first_day: where its history begins.
        last_day: its newest day, or None for no end.
    """

    site_url: str
    seed: int = 0
    rows_per_day: int = 1_000
    rows_by_day: Mapping[dt.date, int] = attrs.field(factory=dict, hash=False)
    first_day: dt.date = dt.date.min
    last_day: dt.date | None = None

    def row_count(self, day: dt.date) -> int:
        """How many rows by page and query a day exposes."""
        if day < self.first_day or (self.last_day is not None and day > self.last_day):
            return 0
        if day in self.rows_by_day:
            return min(self.rows_by_day[day], MAX_EXPOSED_ROWS)
        share = 0.7 if day.weekday() >= 5 else 1.0
        jitter = random.Random(f"{self.seed}/{day}").uniform(0.9, 1.1)
        return min(round(self.rows_per_day * share * jitter), MAX_EXPOSED_ROWS)

    def encoded_rows(
        self, day: dt.date, search_type: str, dimensions: tuple[str, ...]
    ) -> tuple[bytes, ...]:
        """A day's rows as JSON, most clicks first.

        Args:
            day: which day.
            search_type: as in the API.
            dimensions: in the order in which ``keys`` are wanted; ``date`` among them or not.
        """
        key = (self.site_url, self.seed, self.row_count(day))
        return _encoded_rows(key, day, search_type, dimensions)

    def rows(self, day: dt.date, search_type: str, dimensions: tuple[str, ...]) -> list[Row]:
        """A day's rows as a client must see them; parameters as for `encoded_rows`."""
        encoded = self.encoded_rows(day, search_type, dimensions)
        return [_row_decoder.decode(row) for row in encoded]


_row_decoder = msgspec.json.Decoder(Row)
_row_encoder = msgspec.json.Encoder()


@lru_cache(maxsize=512)
def _encoded_rows(
    key: tuple[str, int, int], day: dt.date, search_type: str, dimensions: tuple[str, ...]
) -> tuple[bytes, ...]:
    site_url, seed, count = key
    chance = random.Random(f"{seed}/{day}/{search_type}/{'/'.join(sorted(dimensions))}")
    columns = _columns(site_url, count, chance, dimensions)
    columns["date"] = itertools.repeat(day.isoformat(), count)
    if set(dimensions) <= {"date"}:
        keys = [(day.isoformat(),) * len(dimensions)] * min(count, 1)
    else:
        keys = list(zip(*(columns[name] for name in dimensions), strict=False))
    has_position = search_type not in SEARCH_TYPES_WITHOUT_POSITION
    top = chance.uniform(0.5, 2.0) * len(keys)
    rows = [
        _wire_row(rank, values, top, chance.random(), has_position=has_position)
        for rank, values in enumerate(keys)
    ]
    finest = ("page", "query") if has_position else ("page",)
    if is_balanced(dimensions, finest):
        finest_rows = _encoded_rows(key, day, search_type, finest)
        rows = balanced(rows, dimensions, [_row_decoder.decode(row) for row in finest_rows])
    return tuple(_row_encoder.encode(row) for row in rows)


def _columns(
    site_url: str, count: int, chance: random.Random, dimensions: tuple[str, ...]
) -> dict[str, itertools.repeat[str] | list[str]]:
    """Values for each dimension, so that no two rows have the same keys."""
    countries = chance.choices(_COUNTRIES, range(len(_COUNTRIES), 0, -1), k=count)
    devices = chance.choices(_DEVICES, (6, 3, 1), k=count)
    root = site_url.replace("sc-domain:", "https://")
    root += "" if root.endswith("/") else "/"
    if "query" in dimensions:
        pages = max(1, count // 8)
        weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(pages)))
        numbers = chance.choices(range(pages), cum_weights=weights, k=count)
        if "page" in dimensions:
            seen: Counter[int] = Counter()
            queries = []
            for number in numbers:
                queries.append(_query_text(number, seen[number]))
                seen[number] += 1
        else:
            queries = [_query_text(0, number) for number in range(count)]
    elif "page" in dimensions:
        numbers, queries = list(range(count)), []
    else:
        numbers, queries = [], []
        pairs = list(itertools.product(_COUNTRIES, _DEVICES))
        if "country" in dimensions and "device" in dimensions:
            countries, devices = ([pair[place] for pair in pairs[:count]] for place in (0, 1))
        else:
            countries, devices = list(_COUNTRIES[:count]), list(_DEVICES[:count])
    return {
        "page": [f"{root}{number % 7}/{number}.html" for number in numbers],
        "query": queries,
        "country": countries,
        "device": devices,
        "searchAppearance": list(APPEARANCES[:count]),
    }


def _query_text(page: int, number: int) -> str:
    first = _WORDS[(page * 7 + number) % len(_WORDS)]
    return f"{first} {_WORDS[(page + number * 3) % len(_WORDS)]} {page}-{number}"


def _wire_row(
    rank: int, keys: tuple[str, ...], top: float, draw: float, *, has_position: bool
) -> WireRow:
    clicks = int(top / (rank + 1) ** 1.1)
    if clicks == 0 and draw < 0.01:
        return WireRow(keys, 0, 0, 0)
    impressions = int(clicks * (2 + 20 * draw)) + 1 + int(draw * 10)
    position = 1 + int(draw * 400) / 10 if has_position else None
    if rank % 3 == 1:
        return WireRow(keys, float(clicks), float(impressions), clicks / impressions, position)
    return WireRow(keys, clicks, impressions, clicks / impressions, position)
