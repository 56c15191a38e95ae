"""A backfill with everything around it: store, client, progress, signals."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from gsc_trio.backfill import backfill
from gsc_trio.cli.display import Display
from gsc_trio.cli.progress import Progress, keep_showing, show
from gsc_trio.cli.signals import halt_on_signals
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.summary import RunSummary


@attrs.frozen
class BackfillRequest:
    """What a command line asks for, once it is found to be right."""

    query: SearchAnalyticsQuery
    start: dt.date
    end: dt.date
    today: dt.date
    """The current date in Pacific time, looked up once."""
    settings: Settings
    database: Path


async def run_backfill(request: BackfillRequest, display: Display) -> RunSummary:
    """Run a backfill; a signal halts it.

    Raises:
        UsageError: the database's path is not one to write to. Nothing was changed.
        StorageError: the database cannot say what is there.
    """
    halt_switch = HaltSwitch()
    async with trio.open_nursery() as nursery:
        await nursery.start(
            halt_on_signals, halt_switch, request.settings.grace_seconds, display.tell
        )
        async with (
            open_sqlite_store(request.database) as store,
            _shown_progress(display) as progress,
            open_search_console(request.settings, instruments=[progress]) as client,
        ):
            summary = await backfill(
                client,
                request.query,
                store,
                start=request.start,
                end=request.end,
                settings=request.settings,
                instruments=[progress],
                halt_switch=halt_switch,
                today=request.today,
            )
        nursery.cancel_scope.cancel()
    return summary


@asynccontextmanager
async def _shown_progress(display: Display) -> AsyncIterator[Progress]:
    progress = Progress()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_showing, progress, display)
        yield progress
        nursery.cancel_scope.cancel()
    await show(progress, display, is_last=True)
