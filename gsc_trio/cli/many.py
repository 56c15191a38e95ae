"""A backfill of many properties with everything around it, and its summary."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from gsc_trio.access import TokenSource
from gsc_trio.cli.display import Display
from gsc_trio.cli.failures import COMPLETE, FAILED, INTERRUPTED
from gsc_trio.cli.group import open_group
from gsc_trio.cli.known_sites import refuse_unknown_sites
from gsc_trio.cli.live_settings import SettingsSources, live_settings
from gsc_trio.cli.output import say, say_json
from gsc_trio.cli.run import opened_store
from gsc_trio.cli.signals import halt_on_signals
from gsc_trio.cli.stores import is_there
from gsc_trio.cli.summary_text import query_text
from gsc_trio.cli.tables import Side, aligned_table
from gsc_trio.cli.telemetry import TelemetryOptions, choose_shown, open_telemetry
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.many import backfill_many
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.database import Database
from gsc_trio.summary import RunMeter, RunSummary
from gsc_trio.telemetry.instrument import Instrument

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

_COLUMNS: Mapping[str, Side] = {
    "site": "left",
    "days": "right",
    "rows": "right",
    "status": "left",
    "reason": "left",
}


@attrs.frozen
class ManyRequest:
    """What a command line asks for, once it is found to be right."""

    queries: Sequence[SearchAnalyticsQuery]
    """One for each property."""
    start: dt.date
    end: dt.date
    today: dt.date
    """The current date in Pacific time, looked up once."""
    settings: Settings
    database: Location
    waits_for_database: bool
    """Whether to wait while another process writes to the database."""
    telemetry: TelemetryOptions
    sources: SettingsSources
    """Where the settings can be read again."""
    credentials: Mapping[str, TokenSource | None] = attrs.field(repr=False)
    """What gives access tokens for each property."""
    store: str
    """What the database is: one of `gsc_trio.cli.stores.STORES`."""


def run_and_report_many(request: ManyRequest, *, wants_progress: bool, wants_json: bool) -> int:
    """Run it, print the summary, give the exit code.

    Raises:
        UsageError: nothing was changed, and nothing is printed.
        StorageError: the database cannot be used.
    """
    with choose_shown(request.telemetry, wants_progress=wants_progress) as display:
        summaries = trio.run(_run, request, display)
    code = exit_code(summaries)
    if wants_json:
        properties = [attrs.asdict(summary) for summary in summaries]
        say_json({"exit_code": code, "properties": properties})
    else:
        say(summary_text(request, summaries))
    return code


def exit_code(summaries: Sequence[RunSummary]) -> int:
    """Of a run with these summaries."""
    statuses = {summary.status for summary in summaries}
    if "interrupted" in statuses:
        return INTERRUPTED
    return COMPLETE if statuses <= {"complete"} else FAILED


async def _run(request: ManyRequest, display: Display) -> Sequence[RunSummary]:
    settings, halt_switch = request.settings, HaltSwitch()
    live = live_settings(request.sources, settings)
    async with (
        open_telemetry(request.telemetry, settings, site="") as instruments,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(
            halt_on_signals, halt_switch, settings.grace_seconds, display.tell, live
        )
        await refuse_unknown_sites(request.database, settings, request.credentials, halt_switch)
        async with opened_store(
            request.database,
            display,
            halt_switch,
            request.queries,
            waits=request.waits_for_database,
            kind=request.store,
        ) as store:
            if store is None:
                summaries: Sequence[RunSummary] = [
                    RunMeter().summary(query.site_url, request.start, request.end, halt_switch.halt)
                    for query in request.queries
                ]
            else:
                concurrency = live.concurrency if live else None
                summaries = await _fetch(
                    request, display, store, halt_switch, concurrency, instruments
                )
        nursery.cancel_scope.cancel()
    return summaries


async def _fetch(
    request: ManyRequest,
    display: Display,
    store: Database,
    halt_switch: HaltSwitch,
    concurrency: Concurrency | None,
    instruments: Sequence[Instrument],
) -> Sequence[RunSummary]:
    async with open_group(
        request.settings,
        request.credentials,
        display,
        instruments,
        runs=len(request.queries),
    ) as (client_of, watching):
        return await backfill_many(
            client_of,
            request.queries,
            store,
            start=request.start,
            end=request.end,
            settings=request.settings,
            concurrency=concurrency,
            instruments=watching,
            halt_switch=halt_switch,
            today=request.today,
        )


def summary_text(request: ManyRequest, summaries: Sequence[RunSummary]) -> str:
    """A table of the properties that had something to fetch, and what it comes to."""
    shown_ones = [each for each in summaries if each.status != "complete" or each.requests]
    lines = []
    if shown_ones:
        rows = (
            (each.site, f"{each.days:,}", f"{each.rows:,}", each.status, each.reason)
            for each in shown_ones
        )
        lines += [aligned_table(_COLUMNS, rows), ""]
    counts = Counter(summary.status for summary in summaries)
    statuses = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
    lines.append(
        f"{len(summaries):,} properties, {request.start} to {request.end}, "
        f"{query_text(request.queries[0])}: {statuses}"
    )
    if idle := len(summaries) - len(shown_ones):
        lines.append(f"  {idle:,} had nothing to fetch: all days were in the database already")
    rows_in, queries = (
        sum(getattr(each, name) for each in summaries) for name in ("rows", "requests")
    )
    lines.append(f"  {queries:,} queries, {rows_in:,} rows; database: {request.database}")
    if exit_code(summaries) != COMPLETE and rows_in and is_there(request.database):
        lines.append("  what was fetched is kept: the same command goes on from here")
    return "\n".join(lines)
