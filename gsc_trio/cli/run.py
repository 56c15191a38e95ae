"""A backfill with everything around it: store, client, progress, signals."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio
from trio_util import move_on_when

from gsc_trio.access import TokenSource
from gsc_trio.backfill import backfill
from gsc_trio.cli.display import Display
from gsc_trio.cli.known_sites import refuse_unknown_sites
from gsc_trio.cli.live_settings import SettingsSources, live_settings
from gsc_trio.cli.progress import Progress, Watched, keep_showing, show
from gsc_trio.cli.run_report import RunReport
from gsc_trio.cli.signals import halt_on_signals
from gsc_trio.cli.stores import open_to_fill
from gsc_trio.cli.telemetry import TelemetryOptions, open_telemetry
from gsc_trio.client import open_search_console, user_of
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.errors import DatabaseInUseError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.report.keep import keep_record
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.store.database import Database
from gsc_trio.summary import RunMeter, RunSummary
from gsc_trio.telemetry.instrument import Instrument

if TYPE_CHECKING:
    from gsc_trio.store.location import Location
    from gsc_trio.testing import Recorder


@attrs.frozen
class BackfillRequest:
    """What a command line asks for, once it is found to be right."""

    query: SearchAnalyticsQuery
    start: dt.date
    end: dt.date
    today: dt.date
    """The current date in Pacific time, looked up once."""
    settings: Settings
    database: Location
    waits_for_database: bool = False
    """Whether to wait while another process writes to the database."""
    telemetry: TelemetryOptions = attrs.field(factory=TelemetryOptions)
    sources: SettingsSources | None = None
    """Where the settings can be read again."""
    credentials: TokenSource | None = attrs.field(default=None, repr=False)
    """What gives access tokens, if the settings have none."""
    recorder: Recorder | None = None
    """What keeps the answers."""
    report: RunReport | None = None
    """The page to be made of the run, if one is wanted."""
    store: str = "sqlite"
    """What the database is: one of `gsc_trio.cli.stores.STORES`."""


async def run_backfill(request: BackfillRequest, display: Display) -> RunSummary:
    """Run a backfill; a signal halts it.

    Raises:
        UsageError: the database's path is not one to write to, or metrics cannot be served.
            Nothing was changed.
        DatabaseInUseError: another process writes to it, and nobody wants to wait.
        StorageError: the database cannot say what is there.
    """
    halt_switch, live = HaltSwitch(), live_settings(request.sources, request.settings)
    concurrency = live.concurrency if live else None
    site = request.query.site_url
    async with (
        open_telemetry(
            request.telemetry, request.settings, site=site, user=user_of(request.credentials)
        ) as instruments,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(
            halt_on_signals,
            halt_switch,
            request.settings.grace_seconds,
            display.tell,
            live,
        )
        await refuse_unknown_sites(
            request.database, request.settings, {site: request.credentials}, halt_switch
        )
        async with opened_store(
            request.database,
            display,
            halt_switch,
            [request.query],
            waits=request.waits_for_database,
            kind=request.store,
        ) as store:
            if store is None:
                query = request.query
                summary = RunMeter().summary(
                    query.site_url, request.start, request.end, halt_switch.halt
                )
            else:
                summary = await _run(request, display, store, halt_switch, concurrency, instruments)
        nursery.cancel_scope.cancel()
    return summary


async def _run(
    request: BackfillRequest,
    display: Display,
    store: Database,
    halt_switch: HaltSwitch,
    concurrency: Concurrency | None,
    instruments: Sequence[Instrument],
) -> RunSummary:
    async with shown_progress(display) as progress, AsyncExitStack() as stack:
        run_recorder = RunRecorder()
        watching: list[Instrument] = [progress, run_recorder, *instruments]
        on_answer = None
        if request.recorder is not None:
            watching.append(request.recorder)
            on_answer = request.recorder.keep
        client = await stack.enter_async_context(
            open_search_console(
                request.settings,
                credentials=request.credentials,
                instruments=watching,
                on_answer=on_answer,
            )
        )
        summary = await backfill(
            client,
            request.query,
            store,
            start=request.start,
            end=request.end,
            settings=request.settings,
            concurrency=concurrency,
            instruments=watching,
            halt_switch=halt_switch,
            today=request.today,
        )
    record = await keep_record(
        run_recorder, summary, request.query, request.settings, store, display.tell
    )
    if request.report is not None:
        request.report.record = record
    return summary


@asynccontextmanager
async def opened_store(
    database: Location,
    display: Display,
    halt_switch: HaltSwitch,
    queries: Collection[SearchAnalyticsQuery],
    *,
    waits: bool,
    kind: str = "sqlite",
) -> AsyncIterator[Database | None]:
    """The store; None if the run was halted while it waited for another process."""
    # Of many, one that is in use does not stop the others, unless it is to be waited for.
    held = queries if waits or len(queries) == 1 else ()
    store = None
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_to_fill(database, kind, held))
        except DatabaseInUseError as error:
            if not waits:
                raise DatabaseInUseError(f"{error}, or use --wait") from None
            await trio.to_thread.run_sync(display.tell, f"{error}; waiting for it")
            async with move_on_when(halt_switch.requested.wait):
                waiting = open_to_fill(database, kind, held, wait=True)
                store = await stack.enter_async_context(waiting)
        yield store


@asynccontextmanager
async def shown_progress(display: Display) -> AsyncIterator[Progress]:
    """An instrument, and a task that shows what it has counted until the body ends."""
    progress = Progress()
    async with shown(progress, display):
        yield progress


@asynccontextmanager
async def shown(progress: Watched, display: Display) -> AsyncIterator[None]:
    """A task that shows what was counted until the body ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_showing, progress, display)
        yield
        nursery.cancel_scope.cancel()
    await show(progress, display, is_last=True)
