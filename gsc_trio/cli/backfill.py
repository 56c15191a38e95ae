"""``gsc-trio backfill``: a property's history into the user's own database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio

from gsc_trio.cli.date_range import choose_days
from gsc_trio.cli.display import Display
from gsc_trio.cli.failures import COMPLETE, FAILED, INTERRUPTED, first_cause, reason_of
from gsc_trio.cli.live_settings import SettingsSources
from gsc_trio.cli.many import ManyRequest, run_and_report_many
from gsc_trio.cli.options import (
    config_option,
    database_option,
    json_option,
    profile_option,
    progress_option,
    read_date,
    settings_options,
    wait_option,
)
from gsc_trio.cli.output import say, say_json
from gsc_trio.cli.record import record_option, recording
from gsc_trio.cli.run import BackfillRequest, run_backfill
from gsc_trio.cli.run_report import RunReport
from gsc_trio.cli.site_list import read_sites
from gsc_trio.cli.stores import STORES, file_of
from gsc_trio.cli.summary_text import next_text, summary_text
from gsc_trio.cli.telemetry import TelemetryOptions, choose_shown, telemetry_options
from gsc_trio.credentials.choice import choose_credentials, choose_credentials_for
from gsc_trio.dates import pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.filters import OPERATORS, parse_filter
from gsc_trio.model import (
    AGGREGATION_TYPES,
    DATA_STATES,
    DIMENSIONS,
    SEARCH_TYPES,
    SearchAnalyticsQuery,
)
from gsc_trio.summary import RunSummary

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

EXIT_CODES = {"complete": COMPLETE, "interrupted": INTERRUPTED}
"""By a run's status; every other status is `FAILED`."""

HELP = """Copy a property's Search Analytics history into an SQLite database.

SITE is the property as Search Console writes it: https://host/ for a URL-prefix property,
sc-domain:host for a domain property. Without --days, --start or --end, all 16 months that Search
Console keeps are fetched, up to three days ago in Pacific time, when data is final. What the
database holds already is not fetched again, so a run that was interrupted goes on where it
stopped, and one a day keeps the database up to date.

--sites FILE takes many properties in the place of SITE, each on a line. They share the workers
(max_concurrency of them for each account) and the quota, those with the fewest days to fetch come
first, and one that fails does not stop the others.

\b
Examples:
  gsc-trio login --client client.json              # once; see playbook/SIGN_IN.md
  gsc-trio backfill sc-domain:example.com --db gsc.db
  gsc-trio backfill sc-domain:example.com --db gsc.db --key-file service-account.json
  gsc-trio backfill https://example.com/ --days 90 --db gsc.db
  gsc-trio backfill --sites sites.txt --db gsc.db --max-concurrency 10
  gsc-trio sites --json | jq -r '.[].site' | gsc-trio backfill --sites - --db gsc.db --json
  gsc-trio backfill sc-domain:example.com --db gsc.db --start 2025-01-01 --end 2025-03-31
  gsc-trio backfill sc-domain:example.com --db gsc.db --search-type discover --dimensions page
  gsc-trio backfill sc-domain:example.com --db gsc.db --filter page:contains:/shop/ \\
      --filter country:equals:deu
  gsc-trio backfill sc-domain:example.com --db gsc.db --dimensions hour,page --data-state hourly_all
  gsc-trio backfill sc-domain:example.com --db gsc.db --dimensions searchAppearance
  gsc-trio backfill sc-domain:example.com --db gsc.db --filter searchAppearance:equals:VIDEO
  gsc-trio backfill sc-domain:example.com --db gsc.db --profile sequential   # the plain loop
  gsc-trio backfill sc-domain:example.com --db gsc.db --no-progress --json | jq .rows
  gsc-trio backfill sc-domain:example.com --db parquet/ --store parquet      # days as files
  gsc-trio backfill sc-domain:example.com --db gsc.db --metrics-port 9464 --log-format json
  gsc-trio backfill sc-domain:example.com --db new.db --record run.cassette
  gsc-trio fake-server --cassette run.cassette     # gives the same answers again
  gsc-trio backfill sc-domain:example.com --db gsc.db --report run.html

\b
Exit codes: 0 complete, 1 failed or halted (of --sites, at least one; the table names it), 2 wrong
usage (nothing was changed), 130 interrupted.
"""

EPILOG = """Every setting can also be given as a variable, as GSC_TRIO_MAX_CONCURRENCY, or in a TOML
file. Flags win over variables, variables over the file, the file over the profile.

A run with a file reads it again when it gets SIGHUP (kill -HUP PID), and goes on with the
max_concurrency that it finds there: a higher one adds workers at once, a lower one lets batches
under way end first. 1 is the rollback."""


@click.command(
    "backfill", help=HELP, short_help="Copy a property's history into SQLite.", epilog=EPILOG
)
@click.argument("site", required=False)
@click.option(
    "--sites",
    "sites_file",
    metavar="FILE",
    help="Many properties instead of SITE: a file with one on each line, # before comments; - is "
    "stdin.",
)
@click.option("--days", type=int, metavar="N", help="The last N days, ending three days ago.")
@click.option("--start", callback=read_date, metavar="DATE", help="The first day, as YYYY-MM-DD.")
@click.option("--end", callback=read_date, metavar="DATE", help="The last day, included.")
@database_option(
    "The SQLite database or the folder of Parquet files, made if it is not there, or a Postgres "
    "database as postgresql://USER@HOST/NAME."
)
@click.option(
    "--store",
    type=click.Choice(list(STORES)),
    default="sqlite",
    show_default=True,
    help="What a path is to be: an SQLite database, or Parquet files, one for each day.",
)
@click.option(
    "--dimensions",
    default="page,query",
    show_default=True,
    metavar="NAMES",
    help=f"What rows are grouped by beside the date, with commas: {', '.join(DIMENSIONS)}; "
    "or date alone, for one row a day. searchAppearance goes alone; hour needs --data-state "
    "hourly_all.",
)
@click.option(
    "--search-type",
    default="web",
    show_default=True,
    metavar="TYPE",
    help=f"One of {', '.join(SEARCH_TYPES)}.",
)
@click.option(
    "--data-state",
    default="final",
    show_default=True,
    metavar="STATE",
    help=f"One of {', '.join(DATA_STATES)}; all brings days that are not final yet, too, "
    "hourly_all those of the last 10 days by the hour.",
)
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FILTER",
    help="Only what fits, as page:contains:/shop/: a dimension, an operator "
    f"({', '.join(OPERATORS)}) and an expression. Several must all fit.",
)
@click.option(
    "--aggregation-type",
    default="auto",
    show_default=True,
    metavar="TYPE",
    help=f"How results that show several pages are counted: {', '.join(AGGREGATION_TYPES)}.",
)
@wait_option
@record_option
@settings_options
@config_option()
@profile_option
@progress_option
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write an HTML page about the run; the report of an earlier run is replaced.",
)
@telemetry_options
@json_option("Print the summary as one JSON object.")
def command(
    *,
    site: str | None,
    sites_file: str | None,
    days: int | None,
    start: dt.date | None,
    end: dt.date | None,
    database: Location,
    store: str,
    dimensions: str,
    search_type: str,
    data_state: str,
    filters: tuple[str, ...],
    aggregation_type: str,
    waits_for_database: bool,
    record_file: Path | None,
    config_file: Path | None,
    profile: str | None,
    wants_progress: bool,
    wants_json: bool,
    report_file: Path | None,
    telemetry: TelemetryOptions,
    **flags: Any,
) -> int:
    """Check everything, run, report."""
    sites = _sites(site, sites_file)
    sources = SettingsSources(profile, config_file, flags)
    settings = sources.load()
    queries = [
        SearchAnalyticsQuery(
            site_url=each,
            search_type=search_type,
            dimensions=tuple(name.strip() for name in dimensions.split(",")),
            data_state=data_state,
            filters=tuple(map(parse_filter, filters)),
            aggregation_type=aggregation_type,
        )
        for each in sites
    ]
    query, today = queries[0], pacific_today()
    first_day, last_day = choose_days(days, start, end, today, is_hourly=query.is_hourly)
    if sites_file is not None:
        _refuse_with_sites(record_file, report_file)
        many = ManyRequest(
            queries,
            first_day,
            last_day,
            today,
            settings,
            database,
            waits_for_database,
            telemetry,
            sources,
            choose_credentials_for(settings, sites),
            store,
        )
        return run_and_report_many(many, wants_progress=wants_progress, wants_json=wants_json)
    report = RunReport(report_file, file_of(database)) if report_file is not None else None
    credentials = choose_credentials(settings, query.site_url)
    with recording(record_file, file_of(database)) as recorder:
        request = BackfillRequest(
            query,
            first_day,
            last_day,
            today,
            settings,
            database,
            waits_for_database,
            telemetry,
            sources,
            credentials,
            recorder,
            report,
            store,
        )
        summary = run_and_report(request, wants_progress=wants_progress, wants_json=wants_json)
    if report is not None:
        report.write()
    if summary.status == "complete" and not wants_json:
        say(next_text(request))
    return EXIT_CODES.get(summary.status, FAILED)


def _sites(site: str | None, sites_file: str | None) -> list[str]:
    if (site is None) == (sites_file is None):
        raise UsageError("name a SITE, or give a list of properties with --sites FILE")
    return [site] if site is not None else read_sites(str(sites_file))


def _refuse_with_sites(record_file: Path | None, report_file: Path | None) -> None:
    for flag, file in (("--record", record_file), ("--report", report_file)):
        if file is not None:
            raise UsageError(f"{flag} is about one property: name a SITE instead of --sites")


def run_and_report(
    request: BackfillRequest,
    *,
    wants_progress: bool,
    wants_json: bool = False,
    run: Callable[[BackfillRequest, Display], Awaitable[RunSummary]] = run_backfill,
) -> RunSummary:
    """Run a backfill and print its summary.

    Args:
        request: what to do.
        wants_progress: whether to show how it is going.
        wants_json: whether the summary is to be a JSON object.
        run: what does it.

    Raises:
        UsageError: nothing was changed, and nothing is printed.
        Exception: the run did not begin, or this program is wrong; with ``wants_json`` a summary
            is printed nevertheless.
    """
    try:
        with choose_shown(request.telemetry, wants_progress=wants_progress) as display:
            summary = trio.run(run, request, display)
    except Exception as error:
        cause = first_cause(error)
        if wants_json and not isinstance(cause, UsageError):
            say_json(attrs.asdict(_failed(request, cause)))
        raise
    if wants_json:
        say_json(attrs.asdict(summary))
    else:
        say(summary_text(summary, request))
    return summary


def _failed(request: BackfillRequest, error: BaseException) -> RunSummary:
    return RunSummary(
        status="failed",
        reason=reason_of(error),
        site=request.query.site_url,
        start=request.start,
        end=request.end,
        days=0,
        pages=0,
        rows=0,
        requests=0,
        http_batches=0,
        retries=0,
        duration_seconds=0.0,
        peak_queries_per_minute=0,
    )
