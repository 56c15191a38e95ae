"""``gsc-trio sync``: bring a database up to date, by hand or every day by a timer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio

from gsc_trio.access import TokenSource
from gsc_trio.cli.display import Display
from gsc_trio.cli.failures import COMPLETE, FAILED, INTERRUPTED
from gsc_trio.cli.group import open_group
from gsc_trio.cli.known_sites import refuse_unknown_sites
from gsc_trio.cli.live_settings import SettingsSources, live_settings
from gsc_trio.cli.options import (
    config_option,
    database_option,
    json_option,
    profile_option,
    progress_option,
    settings_options,
    wait_option,
)
from gsc_trio.cli.output import one_line, say, say_json
from gsc_trio.cli.run import opened_store
from gsc_trio.cli.signals import halt_on_signals
from gsc_trio.cli.stores import is_there, open_database
from gsc_trio.cli.summary_text import query_text
from gsc_trio.cli.telemetry import (
    TelemetryOptions,
    choose_shown,
    open_telemetry,
    telemetry_options,
)
from gsc_trio.client import user_of
from gsc_trio.config import Settings
from gsc_trio.credentials.choice import choose_credentials_for, settings_of_account
from gsc_trio.dates import pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.datasets import dataset_queries
from gsc_trio.sync.budget import BudgetedRateLimiter
from gsc_trio.sync.run import GOOD, TargetResult, sync
from gsc_trio.sync.targets import SyncTarget, read_targets

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

HELP = """Bring a database up to date: days that are new, were not final, or are missing.

What is kept up to date is what the [[sync]] tables of the settings file list, or else what the
database holds already, from its first day on. SITE limits that to some properties; one that is in
neither is fetched anew, all 16 months, by page and query. Days that were fetched before they were
final are replaced when they are, each day all at once.

\b
A settings file:
  [[sync]]
  sites = ["sc-domain:example.com", "https://shop.example/"]
  search_types = ["web", "image"]            # default: web
  dimensions = ["page,query", "date"]        # default: page,query
  data_state = "final"                       # or all: also days that are not final yet
  account = "agency"                         # who asks; default: as without
  days = 90                                  # or start = 2026-01-31; default: all 16 months

Properties share the workers (max_concurrency of them for each account) and the quota, those with
the fewest days to fetch come first, and one that fails does not stop the others. With
--max-requests they go one after another, each gets an equal part of what is left, and the next
sync goes on.

\b
Examples:
  gsc-trio sync --db gsc.db
  gsc-trio sync sc-domain:example.com --db gsc.db
  gsc-trio sync --db gsc.db --config gsc-trio.toml --max-requests 5000
  gsc-trio sync --db gsc.db --no-progress --json | jq '.targets[] | {site, status}'

\b
Exit codes: 0 up to date, or --max-requests is reached; 1 something failed, the summary names it;
2 wrong usage (nothing was changed); 130 interrupted.
"""


@attrs.frozen
class _Request:
    targets: Sequence[SyncTarget]
    settings: Settings
    database: Location
    max_requests: int | None
    waits_for_database: bool
    telemetry: TelemetryOptions
    sources: SettingsSources
    credentials: Mapping[str, TokenSource | None] = attrs.field(repr=False)


@click.command("sync", help=HELP, short_help="Bring a database up to date.")
@click.argument("sites", nargs=-1, metavar="[SITE]...")
@database_option("The SQLite database, made if it is not there, or postgresql://…")
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    metavar="N",
    help="End well after so many queries, to go on the next time.",
)
@click.option(
    "--data-state",
    type=click.Choice(["final", "all"]),
    metavar="STATE",
    help="all brings days that are not final yet, too; it goes before what the file says.",
)
@wait_option
@settings_options
@config_option("settings and [[sync]] tables")
@profile_option
@progress_option
@telemetry_options
@json_option("Print the summary as one JSON object.")
def command(
    *,
    sites: tuple[str, ...],
    database: Location,
    max_requests: int | None,
    data_state: str | None,
    waits_for_database: bool,
    config_file: Path | None,
    profile: str | None,
    wants_progress: bool,
    wants_json: bool,
    telemetry: TelemetryOptions,
    **flags: Any,
) -> int:
    """Check everything, sync, report."""
    sources = SettingsSources(profile, config_file, flags)
    settings = sources.load()
    listed = read_targets(sources.file) if sources.file else []
    targets = _choose(sites, listed, database)
    if data_state is not None:
        targets = [
            each
            if each.query.is_hourly
            else attrs.evolve(each, query=attrs.evolve(each.query, data_state=data_state))
            for each in targets
        ]
    request = _Request(
        targets,
        settings,
        database,
        max_requests,
        waits_for_database,
        telemetry,
        sources,
        _credentials(settings, targets),
    )
    with choose_shown(telemetry, wants_progress=wants_progress) as display:
        results = trio.run(_run, request, display)
    if wants_json:
        say_json(_as_json(results))
    else:
        say(summary_text(results, database))
    return exit_code(results)


def _credentials(
    settings: Settings, targets: Sequence[SyncTarget]
) -> Mapping[str, TokenSource | None]:
    """What gives access tokens for each property: one source for each account."""
    by_account: dict[str | None, list[str]] = {}
    for target in targets:
        by_account.setdefault(target.account, []).append(target.query.site_url)
    sources: dict[str, TokenSource | None] = {}
    chosen: dict[str, TokenSource | None] = {}
    for account, sites in by_account.items():
        its_own = choose_credentials_for(settings_of_account(settings, account), sites)
        for site, source in its_own.items():
            # An account that is named for some may be the only one there is for the others.
            chosen[site] = sources.setdefault(user_of(source), source)
    return chosen


def _choose(
    sites: Sequence[str], listed: Sequence[SyncTarget], database: Location
) -> Sequence[SyncTarget]:
    """What is to be kept up to date.

    Raises:
        UsageError: nothing, or a name that no property has.
    """
    stored: Sequence[SyncTarget] = []
    if is_there(database) and (not listed or sites):
        stored = [SyncTarget(query) for query in trio.run(_stored, database)]
    if not sites:
        if not listed and not stored:
            raise UsageError(
                f"nothing to sync: name a SITE, or list some in [[sync]] tables of a settings "
                f"file (--config FILE), since {database} holds nothing yet"
            )
        return listed or stored
    chosen: list[SyncTarget] = []
    for site in dict.fromkeys(sites):
        known = [each for each in listed if each.query.site_url == site]
        known = known or [each for each in stored if each.query.site_url == site]
        chosen += known or [SyncTarget(SearchAnalyticsQuery(site))]
    return chosen


async def _stored(database: Location) -> Sequence[SearchAnalyticsQuery]:
    # In Postgres it makes the tables that are still missing.
    async with open_database(database, read_only=isinstance(database, Path)) as store:
        coverage = await store.coverage()
    # One of which nothing ever came, such as a name mis-spelt, is not to be asked for each time.
    return dataset_queries([each for each in coverage if each.first_day is not None])


async def _run(request: _Request, display: Display) -> Sequence[TargetResult]:
    settings, halt_switch = request.settings, HaltSwitch()
    live = live_settings(request.sources, settings)
    sites = list(request.credentials)
    async with (
        open_telemetry(
            request.telemetry, settings, site=sites[0] if len(sites) == 1 else ""
        ) as instruments,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(
            halt_on_signals, halt_switch, settings.grace_seconds, display.tell, live
        )
        results: Sequence[TargetResult] = [TargetResult(each.query) for each in request.targets]
        await refuse_unknown_sites(request.database, settings, request.credentials, halt_switch)
        async with opened_store(
            request.database,
            display,
            halt_switch,
            [each.query for each in request.targets],
            waits=request.waits_for_database,
        ) as store:
            if store is not None:
                async with open_group(
                    settings,
                    request.credentials,
                    display,
                    instruments,
                    runs=len(request.targets),
                    limiter_type=BudgetedRateLimiter,
                ) as (client_of, watching):
                    results = await sync(
                        store,
                        request.targets,
                        client_of,
                        today=pacific_today(),
                        max_requests=request.max_requests,
                        settings=settings,
                        concurrency=live.concurrency if live else None,
                        halt_switch=halt_switch,
                        instruments=watching,
                    )
            elif halt_switch.halt is not None:
                for result in results:
                    result.status, result.reason = halt_switch.halt.status, halt_switch.halt.reason
        nursery.cancel_scope.cancel()
    return results


def exit_code(results: Sequence[TargetResult]) -> int:
    """Of a sync with these results."""
    statuses = {result.status for result in results}
    if "interrupted" in statuses:
        return INTERRUPTED
    return COMPLETE if statuses <= set(GOOD) else FAILED


def summary_text(results: Sequence[TargetResult], database: Location) -> str:
    """A line for each target, and one for all."""
    if all(result.status == "nothing to do" for result in results):
        return f"nothing to do: {database} is up to date"
    lines = [line for result in results for line in _lines(result)]
    requests = sum(result.requests for result in results)
    rows = sum(result.rows for result in results)
    lines.append(f"{requests:,} queries, {rows:,} rows; database: {database}")
    return "\n".join(lines)


def _lines(result: TargetResult) -> list[str]:
    line = f"{result.status}: {one_line(result.query.site_url)}, {query_text(result.query)}"
    if result.requests:
        line += f": {result.days:,} of {result.days_wanted:,} days, {result.rows:,} rows"
        if result.days_replaced:
            line += f", {result.days_replaced:,} of them were not final before"
        if result.days_fetched_again:
            line += f", {result.days_fetched_again:,} fetched again since rows moved meanwhile"
    return [line, f"  {one_line(result.reason)}"] if result.reason else [line]


def _as_json(results: Sequence[TargetResult]) -> dict[str, object]:
    return {
        "exit_code": exit_code(results),
        "targets": [
            {
                "site": result.query.site_url,
                "search_type": result.query.search_type,
                "dimensions": result.query.dimensions,
                **attrs.asdict(result, filter=lambda field, _: field.name != "query"),
            }
            for result in results
        ],
    }
