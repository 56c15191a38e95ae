"""The property that peers copy: a benchmark workload, made fit for all of them.

Two things are added to its cassette. ``searchconsole`` asks for a day's next page until one is
empty, so those answers are there. And it fails on rows that lack a position, which the simulator
makes here and there, so each row has all four numbers.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import attrs
import msgspec

from benchmarks.workload import DAYS, Property, Workload, make_workload
from gsc_trio.model import Row
from gsc_trio.testing import read_cassette, write_cassette
from gsc_trio.testing.cassette import RecordedAnswer, RecordedRequest
from gsc_trio.testing.spliced_gzip import DeflatedPiece, deflate

StoredRow = tuple[str, str, str, float, float, float]
"""Date, page, query, clicks, impressions, position."""


class _Rows(msgspec.Struct):
    rows: list[Row] = []


@attrs.frozen
class PeerProperty:
    """A workload, and the rows that it holds."""

    workload: Workload
    expected: dict[str, Counter[StoredRow]] = attrs.field(repr=False)
    """By date."""


def make_property(simulated: Property, folder: Path, days: int = DAYS) -> PeerProperty:
    """Simulate a property into a cassette in a folder."""
    workload = make_workload(simulated, folder, days)
    cassette = read_cassette(workload.path)
    whole: dict[DeflatedPiece, DeflatedPiece] = {}
    answers: dict[RecordedRequest, RecordedAnswer] = {}
    expected: dict[str, Counter[StoredRow]] = {}
    empty = deflate(b'{"responseAggregationType":"byPage"}')
    for request, answer in cassette.answers.items():
        if answer.body not in whole:
            whole[answer.body] = deflate(_with_all_numbers(answer.body.content()))
        body = whole[answer.body]
        answers[request] = attrs.evolve(answer, body=body)
        after = msgspec.structs.replace(request, start_row=request.start_row + request.row_limit)
        if after not in cassette.answers:
            answers[after] = attrs.evolve(answer, rows=0, body=empty)
        date = request.data_date.isoformat()
        expected.setdefault(date, Counter()).update(_rows_of(date, body))
    write_cassette(attrs.evolve(cassette, answers=answers), workload.path)
    return PeerProperty(workload, expected)


def _with_all_numbers(content: bytes) -> bytes:
    answer = msgspec.json.decode(content)
    for row in answer.get("rows", ()):
        row.setdefault("position", 0.0)
    return msgspec.json.encode(answer)


def _rows_of(date: str, body: DeflatedPiece) -> list[StoredRow]:
    rows = msgspec.json.decode(body.content(), type=_Rows).rows
    return [
        stored_row(date, row.keys[0], row.keys[1], row.clicks, row.impressions, row.position)
        for row in rows
    ]


def stored_row(
    date: str, page: str, query: str, clicks: float, impressions: float, position: float | None
) -> StoredRow:
    """A row to be compared: gsc-trio stores position times impressions, so it is rounded.

    Rows without impressions have no position that could be told.
    """
    shown = round(position, 6) if position is not None and impressions else 0.0
    return (date, page, query, clicks, impressions, shown)
