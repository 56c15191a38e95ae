"""What is kept of a run: one frozen object of a few tens of kilobytes, as JSON in the database.

Responsible for: what there is to know of a run afterwards, and its JSON.
Must never: hold a secret. Settings are taken by name, and an access token is not among them.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from gsc_trio.errors import StorageError
from gsc_trio.report.quantiles import Quantiles
from gsc_trio.summary import RunSummary

COMPLETE, STORED, PARTIAL, MISSING, LEFT_OUT = (
    "complete",
    "stored",
    "partial",
    "missing",
    "left out",
)
DAY_STATES = (COMPLETE, STORED, PARTIAL, MISSING, LEFT_OUT)
"""What became of a day: completed by this run; complete before it; some pages of it are there;
nothing is; or Google had no final data yet."""


class DayRecord(msgspec.Struct, frozen=True, array_like=True):
    """One day of the range that was asked for."""

    data_date: dt.date
    state: str
    """One of `DAY_STATES`."""
    rows: int
    """How many rows of it are stored."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that bound a run."""

    max_concurrency: int
    """The most that was allowed at any time."""
    batch_size: int
    max_queue_size: int
    max_in_flight: int
    """That which follows from the largest concurrency, where it was not set."""
    max_waiting_bytes: int
    queries_per_minute: int
    grace_seconds: float


class Peaks(msgspec.Struct, frozen=True, kw_only=True):
    """The highest that was seen of what is bounded."""

    queue_depth: int
    in_flight: int
    workers: int
    resident_bytes: int
    waiting_bytes: int
    page_bytes: int
    """The longest answer, by its JSON."""


class QuotaUse(msgspec.Struct, frozen=True):
    """How much of one of Google's limits was used at most, as the rate limiter counts."""

    used: int
    limit: int


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """How long things took."""

    requests: Quantiles
    """HTTP requests, from sending to the end of the answer."""
    queries: Quantiles
    """The same for each query: a batch's time, divided by its parts."""
    commits: Quantiles
    """What the store took for a transaction, of one page or several."""


class LatencyPoint(msgspec.Struct, frozen=True, array_like=True):
    """The queries whose HTTP requests ended in a part of the run; all in seconds."""

    seconds: float
    """The middle of that part, since the run began."""
    p50: float
    p95: float
    p99: float


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The run over time: a list for each figure, with one value for each slot."""

    slot_seconds: float
    queries: list[int]
    refused: list[int]
    retries: list[int]
    rows: list[int]
    paused_seconds: list[float]
    queries_per_minute: list[int]
    """The most in any 60 seconds that ended in the slot."""
    queue_depth: list[int]
    in_flight: list[int]
    workers: list[int]
    resident_bytes: list[int]
    waiting_bytes: list[int]
    latencies: list[LatencyPoint]


class Retries(msgspec.Struct, frozen=True):
    """Jobs that failed for one reason and were queued again."""

    reason: str
    jobs: int
    last_error: str


class Note(msgspec.Struct, frozen=True):
    """Something that happened once and is worth a line."""

    seconds: float
    """Since the run began."""
    text: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as it is remembered."""

    summary: RunSummary
    search_type: str
    dimensions: tuple[str, ...]
    data_state: str
    started_at: dt.datetime
    """In UTC, as the machine's clock had it."""
    ended_at: dt.datetime
    limits: Limits
    peaks: Peaks
    quota: dict[str, QuotaUse]
    """By the limit's kind: ``site``, ``user``, ``project``."""
    refused: int
    """Queries that Google refused as too many."""
    pauses: int
    paused_seconds: float
    """In how much of the run no query was allowed to leave, since Google had asked for that."""
    crashes: int
    halt_seconds: float | None
    """From asking for a halt to its end; None if there was none."""
    latencies: Latencies
    series: Series
    retries: list[Retries]
    notes: list[Note]
    notes_left_out: int
    """How many more there were between the first and the last ones."""
    days: list[DayRecord]
    """The whole range, the oldest first."""


def to_json(record: RunRecord) -> str:
    """A record as one line of JSON."""
    return msgspec.json.encode(record).decode()


def from_json(text: str) -> RunRecord:
    """The inverse of `to_json`.

    Raises:
        StorageError: it is not a record of this version.
    """
    try:
        return msgspec.json.decode(text, type=RunRecord)
    except (msgspec.DecodeError, ValueError) as error:
        raise StorageError(f"the record is not one of this version: {error}") from None
