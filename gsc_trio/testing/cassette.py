"""Cassettes: Search Analytics answers in a file, to be replayed as they were.

A cassette is a ZIP archive that any tool can open:

- ``cassette.json``: format and version, where the answers are from, and for each answer its
  request, status, headers and the name of its body;
- ``bodies/NAME.json.gz``: the bodies, each once, however many days have it. NAME is the SHA-256 of
  the body. They are gzip files that can be spliced (see `gsc_trio.testing.spliced_gzip`).

The same answers give the same bytes with the same zlib. Must never: hold an access token. A
request has no place for one, and of an answer's headers only those in `KEPT_HEADERS` are kept.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import IO, Annotated, Literal

import attrs
import msgspec

from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing.answers import answer_query
from gsc_trio.testing.property import SimulatedProperty
from gsc_trio.testing.query_request import QueryRequest, requested
from gsc_trio.testing.spliced_gzip import DeflatedPiece, deflate, from_gzip

FORMAT = "gsc-trio cassette"
VERSION = 1

KEPT_HEADERS = ("content-type", "retry-after")
"""The headers that change what an answer means."""

_INDEX = "cassette.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the earliest that ZIP can say."""

Origin = Literal["simulated", "recorded"]


class RecordedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked: the whole of a query for a page of a day."""

    site_url: str
    search_type: str
    dimensions: tuple[str, ...]
    data_date: dt.date
    start_row: int
    row_limit: int
    data_state: str
    filters: tuple[str, ...] = ()
    """As ``page:contains:/shop/``, in the order in which they are asked."""
    aggregation_type: str = "auto"


@attrs.frozen
class RecordedAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Those in `KEPT_HEADERS`, names in lower case."""
    rows: int
    """How many rows the body has."""
    body: DeflatedPiece


@attrs.frozen
class Cassette:
    """Answers by request, and where they are from."""

    origin: Origin
    description: str
    """What made it, of what, for the person who reads a result."""
    answers: Mapping[RecordedRequest, RecordedAnswer] = attrs.field(repr=False)

    @property
    def label(self) -> str:
        """Origin and description, to be printed with every figure that comes from it."""
        return f"{self.origin}: {self.description}"

    @property
    def rows(self) -> int:
        """Rows in all answers."""
        return sum(answer.rows for answer in self.answers.values())


class IndexEntry(msgspec.Struct):
    """An answer as the index has it."""

    request: RecordedRequest
    status: int
    headers: dict[str, str]
    rows: int
    body: str
    """The body's name."""


class _Mark(msgspec.Struct):
    """What is read of a cassette first: it may be of a version that says the rest otherwise."""

    format: str
    version: int


class _Index(msgspec.Struct):
    format: str
    version: int
    origin: Origin
    description: str
    answers: Annotated[list[IndexEntry], msgspec.Meta(min_length=1)]


def make_cassette(
    origin: Origin,
    description: str,
    recordings: Iterable[tuple[RecordedRequest, int, Mapping[str, str], bytes, int]],
) -> Cassette:
    """Put answers together; each body is compressed and kept once.

    Args:
        origin: where they are from.
        description: what made it, of what.
        recordings: for each answer its request, status, headers, body and number of rows.
    """
    bodies: dict[bytes, DeflatedPiece] = {}
    answers = {}
    for request, status, headers, content, rows in recordings:
        digest = hashlib.sha256(content).digest()
        if digest not in bodies:
            bodies[digest] = deflate(content)
        answers[request] = RecordedAnswer(status, kept_headers(headers), rows, bodies[digest])
    return Cassette(origin, description, answers)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those in `KEPT_HEADERS`, names in lower case."""
    return {name.lower(): value for name, value in headers.items() if name.lower() in KEPT_HEADERS}


def record_simulated(
    simulated: SimulatedProperty,
    *,
    start: dt.date,
    end: dt.date,
    query: SearchAnalyticsQuery | None = None,
    distinct_days: int | None = None,
) -> Cassette:
    """Record what the simulator answers to every query that a backfill would ask.

    Args:
        simulated: the property.
        start: the first day.
        end: the last day, included.
        query: what is asked for; by default page and query, 25,000 rows a page.
        distinct_days: make rows for so many days only, the last ones, and let all earlier days
            repeat them: the same load for a fraction of the time. The description says so.
    """
    query = query or SearchAnalyticsQuery(simulated.site_url)
    days = (end - start).days + 1
    distinct = days if distinct_days is None else min(days, distinct_days)
    repeated = f", the rows of {distinct} days over and over" if distinct < days else ""
    description = (
        f"{simulated.site_url}, seed {simulated.seed}, {start} to {end}, "
        f"{what_was_asked(query.search_type, query.dimensions)}{repeated}; {made_by()}"
    )

    def recordings() -> Iterator[tuple[RecordedRequest, int, Mapping[str, str], bytes, int]]:
        for number in range(distinct):
            for start_row, content, rows, headers in _pages(
                simulated, query, end - dt.timedelta(days=number)
            ):
                for back in range(number, days, distinct):
                    day = end - dt.timedelta(days=back)
                    yield request_for(query, day, start_row), 200, headers, content, rows

    return make_cassette("simulated", description, recordings())


def request_for(query: SearchAnalyticsQuery, data_date: dt.date, start_row: int) -> RecordedRequest:
    """The request for a page of a day."""
    return RecordedRequest(
        site_url=query.site_url,
        search_type=query.search_type,
        dimensions=query.dimensions,
        data_date=data_date,
        start_row=start_row,
        row_limit=query.row_limit,
        data_state=query.data_state,
        filters=tuple(map(str, query.filters)),
        aggregation_type=query.aggregation_type,
    )


def what_was_asked(search_type: str, dimensions: Sequence[str]) -> str:
    """A query, for a description."""
    return f"{search_type} by {', '.join(dimensions) or 'date alone'}"


def made_by() -> str:
    """This program, for a description."""
    return f"by gsc-trio {version('gsc-trio')}"


def _pages(
    simulated: SimulatedProperty, query: SearchAnalyticsQuery, day: dt.date
) -> Iterator[tuple[int, bytes, int, Mapping[str, str]]]:
    """Start row, body, number of rows and headers of each page of a day, to the last."""
    start_row, rows = 0, query.row_limit
    while rows >= query.row_limit:
        request = QueryRequest(
            start_date=day.isoformat(),
            end_date=day.isoformat(),
            dimensions=query.dimensions,
            type=query.search_type,
            row_limit=query.row_limit,
            start_row=start_row,
            data_state=query.data_state,
            aggregation_type=query.aggregation_type,
            dimension_filter_groups=requested(query.filters),
        )
        answer = answer_query(simulated, request, None)
        rows = answer.rows
        yield start_row, answer.content, rows, {"content-type": answer.content_type}
        start_row += rows


# The file.


def write_cassette(cassette: Cassette, path: str | os.PathLike[str]) -> None:
    """Write a cassette; a file that is there is replaced.

    Raises:
        UsageError: the file cannot be written.
    """
    bodies: dict[str, DeflatedPiece] = {}
    names: dict[int, str] = {}
    entries = []
    for request, answer in cassette.answers.items():
        if id(answer.body) not in names:
            names[id(answer.body)] = hashlib.sha256(answer.body.content()).hexdigest()
        name = names[id(answer.body)]
        bodies[name] = answer.body
        entries.append(IndexEntry(request, answer.status, dict(answer.headers), answer.rows, name))
    try:
        with open(path, "wb") as file:
            write_entries(
                file,
                cassette.origin,
                cassette.description,
                entries,
                lambda name: bodies[name].as_gzip(),
            )
    except OSError as error:
        raise UsageError(f"cannot write the cassette {path}: {error.strerror}") from None


def write_entries(
    file: IO[bytes],
    origin: Origin,
    description: str,
    entries: list[IndexEntry],
    gzip_of: Callable[[str], bytes],
) -> None:
    """Write a cassette, whose bodies need not be in memory all at once.

    Args:
        file: a new one.
        origin: where the answers are from.
        description: what made it, of what.
        entries: the answers, in the order that they are to have.
        gzip_of: gives a body by its name, as a gzip file that can be spliced.
    """
    index = _Index(FORMAT, VERSION, origin, description, entries)
    with zipfile.ZipFile(file, "w") as archive:
        content = msgspec.json.format(msgspec.json.encode(index), indent=1)
        archive.writestr(_member(_INDEX, zipfile.ZIP_DEFLATED), content)
        for name in dict.fromkeys(entry.body for entry in entries):
            archive.writestr(_member(_body_member(name), zipfile.ZIP_STORED), gzip_of(name))


def read_cassette(path: str | os.PathLike[str]) -> Cassette:
    """Read a cassette.

    Raises:
        UsageError: the file cannot be read, is no cassette, is damaged, or comes from a newer
            version of this package.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except OSError as error:
        raise UsageError(f"cannot read the cassette {path}: {error.strerror}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{path} is no cassette, or a damaged one: {error}") from None


def _read(archive: zipfile.ZipFile, path: str | os.PathLike[str]) -> Cassette:
    try:
        content = archive.read(_INDEX)
        mark = msgspec.json.decode(content, type=_Mark)
    except (KeyError, msgspec.DecodeError) as error:
        raise UsageError(f"{path} is no cassette: {error}") from None
    if mark.format != FORMAT:
        raise UsageError(f"{path} is no cassette: its format is {mark.format!r}")
    if mark.version > VERSION:
        raise UsageError(
            f"{path} is a cassette of version {mark.version}, and this program knows versions up "
            f"to {VERSION}: install a newer gsc-trio"
        )
    try:
        index = msgspec.json.decode(content, type=_Index)
        names = {entry.body for entry in index.answers}
        bodies = {name: from_gzip(archive.read(_body_member(name))) for name in sorted(names)}
    except (KeyError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise UsageError(f"{path} is a damaged cassette: {error}") from None
    return Cassette(
        index.origin,
        index.description,
        {
            entry.request: RecordedAnswer(
                entry.status, entry.headers, entry.rows, bodies[entry.body]
            )
            for entry in index.answers
        },
    )


def _member(name: str, compression: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = compression
    info.create_system = 3  # Unix, whatever the machine, so that the bytes are the same
    info.external_attr = 0o644 << 16
    return info


def _body_member(name: str) -> str:
    return f"bodies/{name}.json.gz"
