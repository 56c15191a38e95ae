"""A run beside the test whose concurrency can be changed, and who watches it."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import attrs
import trio

from gsc_trio.backfill import fetch_all
from gsc_trio.client import open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    ConcurrencyChanged,
    Event,
    RequestSent,
)
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty, open_streaming_transport

SITE = "sc-domain:example.com"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
ROW_LIMIT = 5
QUERY = SearchAnalyticsQuery(SITE, row_limit=ROW_LIMIT)


def rows_by_day(days: int) -> dict[dt.date, int]:
    """Every third day has a second page, every seventh a third."""
    return {
        END - dt.timedelta(days=number): 12 if number % 7 == 0 else 5 if number % 3 == 0 else 2
        for number in range(days)
    }


def fake(days: int, **options: Any) -> FakeSearchConsole:
    return FakeSearchConsole([SimulatedProperty(SITE, rows_by_day=rows_by_day(days))], **options)


def jobs_in_order(days: int) -> list[Job]:
    rows = rows_by_day(days)
    return [
        Job(day, start_row)
        for start_row in (0, ROW_LIMIT, 2 * ROW_LIMIT)
        for day in rows
        if rows[day] >= start_row
    ]


@attrs.define(eq=False)
class Watch:
    """An instrument that counts the requests that are out."""

    concurrency: Concurrency
    started: list[tuple[float, int]] = attrs.field(factory=list)
    """When requests left, and how many were out then, with this one."""
    finished_at: list[float] = attrs.field(factory=list)
    in_flight: list[int] = attrs.field(factory=list)
    changes: list[ConcurrencyChanged] = attrs.field(factory=list)
    changed_at: list[float] = attrs.field(factory=list)
    too_many: list[tuple[int, int]] = attrs.field(factory=list)
    out: int = 0

    def handle(self, event: Event) -> None:
        match event:
            case RequestSent():
                self.out += 1
                self.started.append((trio.current_time(), self.out))
                if self.out > self.concurrency.limit:
                    self.too_many.append((self.out, self.concurrency.limit))
            case BatchFinished():
                self.out -= 1
                self.finished_at.append(trio.current_time())
            case BatchTaken():
                self.in_flight.append(event.in_flight)
            case ConcurrencyChanged():
                self.changes.append(event)
                self.changed_at.append(trio.current_time())
            case _:
                pass


@attrs.define(eq=False)
class Run:
    """A run in virtual time whose concurrency can be changed."""

    server: FakeSearchConsole
    days: int
    settings: Settings
    concurrency: Concurrency
    watch: Watch = attrs.field(init=False)
    pages: list[Page] = attrs.field(factory=list)
    more: list[Instrument] = attrs.field(factory=list)
    summary: RunSummary | None = None

    def __attrs_post_init__(self) -> None:
        self.watch = Watch(self.concurrency)

    def handle(self, event: Event) -> None:
        for instrument in (self.watch, *self.more):
            instrument.handle(event)

    async def fetch(self) -> None:
        async with (
            open_streaming_transport(self.server) as transport,
            open_search_console(self.settings, transport=transport) as client,
        ):
            self.summary = await fetch_all(
                client,
                QUERY,
                start=END - dt.timedelta(days=self.days - 1),
                end=END,
                concurrency=self.concurrency,
                on_page=self.pages.append,
                instruments=[self],
                today=TODAY,
            )

    @property
    def jobs(self) -> list[Job]:
        return [page.job for page in self.pages]


@asynccontextmanager
async def running(
    server: FakeSearchConsole, setting: int | Literal["auto"], *, days: int = 60, **settings: Any
) -> AsyncIterator[Run]:
    """A run beside the test; it must be complete in the end."""
    settings = {"batch_size": 2, "max_concurrency": setting, **settings}
    run = Run(server, days, Settings(**settings), Concurrency(setting))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.fetch)
        yield run
    assert run.summary is not None
    assert run.summary.status == "complete"
    assert run.watch.too_many == []
