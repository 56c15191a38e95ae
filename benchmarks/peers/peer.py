"""What a peer is: a module that copies some days of a property into a SQLite file, its own way.

A peer module has the attributes of `Peer`. The timed part is `Peer.copy` as a whole: opening the
database, fetching, writing, closing. Starting Python, importing, and building an API client are not
in it. "sqlite3 as it comes" is the standard library's module with SQLite's own defaults: a rollback
journal and full synchronisation. "By key" is INSERT OR REPLACE on date, page and query, so that a
second run doubles nothing; a commit is durable in every peer, as it is in gsc-trio.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

BATCH_SIZE = 50
"""Queries in a batch, for whoever sends batches: gsc-trio's default."""


class PeerTask(msgspec.Struct):
    """What to copy, from where, where to, and how wide."""

    api_root: str
    database: str
    site_url: str
    dimensions: tuple[str, ...]
    start: dt.date
    end: dt.date
    width: int
    """HTTP requests in flight at a time; peers that are not concurrent pass it over."""
    row_limit: int = 25_000

    def days(self) -> Iterator[dt.date]:
        """The newest first."""
        for ordinal in range(self.end.toordinal(), self.start.toordinal() - 1, -1):
            yield dt.date.fromordinal(ordinal)

    def body(self, day: dt.date, start_row: int = 0) -> dict[str, object]:
        """A query for a page of a day, as Google's reference shows it."""
        return {
            "startDate": day.isoformat(),
            "endDate": day.isoformat(),
            "dimensions": list(self.dimensions),
            "type": "web",
            "dataState": "final",
            "rowLimit": self.row_limit,
            "startRow": start_row,
        }


class PeerResult(msgspec.Struct):
    """What it took, in seconds."""

    seconds: float
    cpu_seconds: float
    """Of all threads and children."""


class Peer(Protocol):
    """A peer module."""

    TITLE: str
    """What it uses, in a few words."""
    WRITES: str
    """How it writes to SQLite."""
    REQUIRES: tuple[str, ...]
    """The libraries that it imports, by the names on PyPI."""
    IS_CONCURRENT: bool
    """Whether it has ``width`` HTTP requests in flight, rather than one."""
    SENDS_BATCHES: bool
    """Whether it matters to it how the parts of a batch are answered."""
    SELECT: str
    """SQL for (date, page, query, clicks, impressions, position) of all that it wrote."""

    @staticmethod
    def prepare(task: PeerTask) -> Callable[[], None]:
        """Build what is built once for a program; what it returns does the copying."""
