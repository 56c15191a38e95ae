"""Runs in virtual time that telemetry is tried on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence
from types import UnionType
from typing import Any

import attrs
import trio

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Day, Halt, InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.base import NoStore
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import Event
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    SimulatedProperty,
    SpillInMemory,
    open_streaming_transport,
)

SITE = "https://www.example.com/"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)
TOKEN = "ya29.secret-of-the-tests"
COMMIT_SECONDS = 0.25


def day(number: int) -> dt.date:
    """The newest day is number 0."""
    return END - dt.timedelta(days=number)


@attrs.define(eq=False)
class Recorder:
    """An instrument that keeps what it hears."""

    events: list[Event] = attrs.field(factory=list)

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Any] | UnionType) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class SlowStore(NoStore):
    """Takes a while for each transaction, and finds of some days, once, that their rows moved."""

    def __init__(self, moved: Iterable[dt.date] = ()) -> None:
        self._moved = set(moved)

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> Collection[dt.date]:
        await trio.sleep(COMMIT_SECONDS)
        moved = self._moved & {page.job.data_date for page in pages if page.job.start_row}
        self._moved -= moved
        return moved


def fake_with_faults(*faults: Any, **options: Any) -> FakeSearchConsole:
    simulated = SimulatedProperty(SITE, rows_per_day=7, rows_by_day={day(1): 45, day(3): 0})
    options.setdefault("latency", Latency())
    return FakeSearchConsole([simulated], faults=list(faults), **options)


async def run_with(
    instruments: Sequence[Instrument],
    fake: FakeSearchConsole,
    *,
    days: int = 12,
    end: dt.date = END,
    on_complete: Callable[[Day], Halt | None] | None = None,
    halt_switch: HaltSwitch | None = None,
    moved: Iterable[dt.date] = (),
    **settings: Any,
) -> RunSummary:
    chosen = Settings(api_root="http://fake.example", access_token=TOKEN, **settings)
    with trio.fail_after(10 * 86_400):  # a hang ends here, in virtual time
        async with (
            open_streaming_transport(fake) as transport,
            open_search_console(chosen, transport=transport, instruments=instruments) as client,
        ):
            return await backfill(
                client,
                QUERY,
                SlowStore(moved),
                start=day(days - 1),
                end=end,
                settings=chosen,
                on_complete=on_complete,
                instruments=instruments,
                halt_switch=halt_switch,
                spill=SpillInMemory(),
                today=TODAY,
            )
