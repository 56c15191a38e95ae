"""``gsc-trio verify``: whether a database holds what it should."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gsc_trio.access import TokenSource
from gsc_trio.cli.display import Display
from gsc_trio.cli.failures import COMPLETE, FAILED, INTERRUPTED
from gsc_trio.cli.options import (
    config_option,
    database_option,
    json_option,
    profile_option,
    progress_option,
    read_date,
    settings_options,
)
from gsc_trio.cli.output import one_line, say, say_json
from gsc_trio.cli.run import shown_progress
from gsc_trio.cli.signals import halt_on_signals
from gsc_trio.cli.stores import open_database
from gsc_trio.cli.summary_text import query_text
from gsc_trio.cli.telemetry import TelemetryOptions, choose_shown
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.config_sources import load_settings
from gsc_trio.credentials.choice import choose_credentials_for
from gsc_trio.dates import pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch, following
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.store.database import Database
from gsc_trio.store.datasets import dataset_queries
from gsc_trio.summary import RunSummary
from gsc_trio.verify.judge import DEFECTS, NO_DEFECTS, DayVerdict, Totals
from gsc_trio.verify.run import DatasetReport, verify
from gsc_trio.verify.totals import fetch_totals

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

HELP = f"""Compare what a database holds with its ledger, and with Google's totals.

For each day: are the rows there that the ledger tells of, none lost and none doubled, and do they
have the clicks and impressions that Google counts for the property? Totals are fetched without
dimensions, one query a day, within the quota; --offline leaves them out and sends nothing. SITE is
the property to look at; without, it is all of them.

\b
Verdicts that are defects:
{chr(10).join(f"  {name:<14}{text}" for name, text in DEFECTS.items())}

\b
Other verdicts:
{chr(10).join(f"  {name:<14}{text}" for name, text in NO_DEFECTS.items())}

Rows by page are held against totals that are counted by page, too. "in ledger" counts
a row twice that Google gave on two pages of a day; "shifted" says how many those were.

\b
Examples:
  gsc-trio verify --db gsc.db
  gsc-trio verify --db gsc.db sc-domain:example.com --start 2026-01-01
  gsc-trio verify --db gsc.db --offline
  gsc-trio verify --db gsc.db --repair ; gsc-trio sync --db gsc.db
  gsc-trio verify --db gsc.db --json | jq '.datasets[].days[] | select(.is_defect)'

\b
Exit codes: 0 no defect, 1 a defect, or totals could not be had, 2 wrong usage, 130 interrupted.
"""

_COLUMNS = {
    "day": "left",
    "verdict": "left",
    "rows": "right",
    "in ledger": "right",
    "shifted": "right",
    "clicks": "right",
    "of total": "right",
    "impressions": "right",
    "of all": "right",
    "clicks not in rows": "right",
}


@attrs.frozen
class _Request:
    database: Location
    site: str | None
    start: dt.date
    end: dt.date
    settings: Settings
    is_offline: bool
    repairs: bool


@attrs.frozen
class _Outcome:
    reports: Sequence[DatasetReport]
    is_interrupted: bool
    days_marked: int = 0
    """Days that the next sync is to fetch again."""

    @property
    def exit_code(self) -> int:
        if self.is_interrupted:
            return INTERRUPTED
        is_bad = any(report.defects or report.reason for report in self.reports)
        return FAILED if is_bad else COMPLETE


@click.command("verify", help=HELP, short_help="Compare a database with Google's totals.")
@click.argument("site", required=False)
@database_option("The database of a backfill: an SQLite file, or postgresql://…")
@click.option("--offline", "is_offline", is_flag=True, help="Ask nobody: rows against ledger only.")
@click.option(
    "--repair",
    "repairs",
    is_flag=True,
    help="Mark days with a defect or with shifted rows: the next sync fetches them again.",
)
@click.option("--start", callback=read_date, metavar="DATE", help="The first day to look at.")
@click.option("--end", callback=read_date, metavar="DATE", help="The last day, included.")
@settings_options
@config_option()
@profile_option
@progress_option
@json_option("Print one JSON object.")
def command(
    *,
    site: str | None,
    database: Location,
    is_offline: bool,
    repairs: bool,
    start: dt.date | None,
    end: dt.date | None,
    config_file: Path | None,
    profile: str | None,
    wants_progress: bool,
    wants_json: bool,
    **flags: Any,
) -> int:
    """Look, compare, print."""
    if start is not None and end is not None and start > end:
        raise UsageError(f"the start {start} is after the end {end}: give the earlier date first")
    request = _Request(
        database,
        site,
        start or dt.date.min,
        end or dt.date.max,
        load_settings(profile=profile, config_file=config_file, **flags),
        is_offline,
        repairs,
    )
    with choose_shown(TelemetryOptions(), wants_progress=wants_progress) as display:
        outcome = trio.run(_run, request, display)
    if wants_json:
        say_json(_as_json(outcome))
    else:
        say(report_text(outcome.reports))
        if request.repairs and not outcome.is_interrupted:
            say(_repair_text(outcome.days_marked, request.database))
        if outcome.is_interrupted:
            say("interrupted: what comes after was not looked at")
    return outcome.exit_code


async def _run(request: _Request, display: Display) -> _Outcome:
    halt_switch = HaltSwitch()
    async with trio.open_nursery() as nursery:
        await nursery.start(
            halt_on_signals, halt_switch, request.settings.grace_seconds, display.tell
        )
        # What is sent is recorded, so that a run right after stays within the quota, too.
        async with open_database(
            request.database, create=False, read_only=request.is_offline and not request.repairs
        ) as store:
            queries = await _queries(store, request)
            fetch = None
            if not request.is_offline:
                sites = dict.fromkeys(query.site_url for query in queries)
                credentials = choose_credentials_for(request.settings, sites)
                limiter = RateLimiter.from_settings(request.settings)
                fetch = partial(
                    _fetch, request.settings, store, limiter, credentials, display, halt_switch
                )
            reports = await verify(
                store,
                queries,
                fetch,
                today=pacific_today(),
                start=request.start,
                end=request.end,
                halt_switch=halt_switch,
            )
            is_interrupted = halt_switch.halt is not None
            days_marked = 0
            if request.repairs and not is_interrupted:
                days_marked = await _mark(store, reports)
        nursery.cancel_scope.cancel()
    return _Outcome(reports, is_interrupted, days_marked)


async def _mark(store: Database, reports: Sequence[DatasetReport]) -> int:
    marked = 0
    for report in reports:
        days = report.days_to_fetch_again(pacific_today())
        await store.doubt(report.query, days)
        marked += len(days)
    return marked


async def _queries(store: Database, request: _Request) -> Sequence[SearchAnalyticsQuery]:
    queries = dataset_queries(await store.coverage())
    if request.site is None:
        return queries
    chosen = [query for query in queries if query.site_url == request.site]
    if not chosen:
        sites = ", ".join(dict.fromkeys(query.site_url for query in queries)) or "nothing"
        raise UsageError(f"{request.database} holds no {request.site!r}; it holds {sites}")
    return chosen


async def _fetch(
    settings: Settings,
    store: Database,
    limiter: RateLimiter,
    credentials: Mapping[str, TokenSource | None],
    display: Display,
    halt_switch: HaltSwitch,
    query: SearchAnalyticsQuery,
    days: Collection[dt.date],
) -> tuple[Mapping[dt.date, Totals], RunSummary]:
    async with (
        shown_progress(display) as progress,
        open_search_console(
            settings,
            limiter=limiter,
            credentials=credentials[query.site_url],
            instruments=[progress],
        ) as client,
        following(halt_switch) as switch,
    ):
        return await fetch_totals(
            client,
            store,
            query,
            days,
            today=pacific_today(),
            instruments=[progress],
            halt_switch=switch,
        )


def report_text(reports: Sequence[DatasetReport]) -> str:
    """A table for each dataset, and what it comes to."""
    if not reports:
        return "there is nothing to verify yet"
    blocks = [_dataset_text(report) for report in reports]
    days, defects = (sum(each) for each in zip(*map(_sizes, reports), strict=True))
    if defects:
        names = {day.verdict for report in reports for day in report.days if day.is_defect}
        explained = "; ".join(f"{name}: {text}" for name, text in DEFECTS.items() if name in names)
        blocks.append(f"{defects:,} of {days:,} days have a defect. {explained}")
    else:
        blocks.append(f"no defect in {days:,} days")
    return "\n\n".join(blocks)


def _repair_text(days: int, database: Location) -> str:
    if not days:
        return "nothing to repair: no day that Google still has is wrong or has shifted rows"
    what, them = ("1 day is", "it") if days == 1 else (f"{days:,} days are", "them")
    return f"{what} marked: `gsc-trio sync --db {database}` replaces {them}"


def _sizes(report: DatasetReport) -> tuple[int, int]:
    return len(report.days), report.defects


def _dataset_text(report: DatasetReport) -> str:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, side in _COLUMNS.items():
        table.add_column(title, justify="right" if side == "right" else "left", no_wrap=True)
    for day in report.days:
        table.add_row(*(Text(cell) for cell in _cells(day)))
    console = Console(width=10_000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    lines = [f"{one_line(report.query.site_url)}, {query_text(report.query)}"]
    lines += [f"  {line.rstrip()}" for line in captured.get().splitlines()]
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in report.verdicts.most_common())
    lines.append(f"  {len(report.days):,} days: {counts}")
    if report.reason:
        lines.append(f"  totals are missing: {one_line(report.reason)}")
    return "\n".join(lines)


def _cells(day: DayVerdict) -> tuple[str, ...]:
    return (
        str(day.data_date),
        day.verdict.upper() if day.is_defect else day.verdict,
        f"{day.rows:,}",
        f"{day.rows_in_ledger:,}",
        f"{day.rows_shifted:,}",
        f"{day.clicks:,}",
        "-" if day.total_clicks is None else f"{day.total_clicks:,}",
        f"{day.impressions:,}",
        "-" if day.total_impressions is None else f"{day.total_impressions:,}",
        _not_in_rows(day),
    )


def _not_in_rows(day: DayVerdict) -> str:
    """What rows leave out of the clicks: queries that are anonymised, rows beyond the cap."""
    if day.clicks_beyond_cap is not None:
        return f"{day.clicks_beyond_cap:,} beyond the cap"
    if day.anonymised_clicks_share is not None:
        return f"{day.anonymised_clicks_share:.1%} anonymised"
    return "-"


def _as_json(outcome: _Outcome) -> dict[str, object]:
    return {
        "defects": sum(report.defects for report in outcome.reports),
        "is_interrupted": outcome.is_interrupted,
        "days_marked": outcome.days_marked,
        "datasets": [
            {
                "site": report.query.site_url,
                "search_type": report.query.search_type,
                "dimensions": report.query.dimensions,
                "reason": report.reason,
                "defects": report.defects,
                "days": [{**attrs.asdict(day), "is_defect": day.is_defect} for day in report.days],
            }
            for report in outcome.reports
        ],
    }
