"""``gsc-trio demo``: the real thing from end to end, with a fake Google."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path

import attrs
import click
import trio

from gsc_trio.cli.backfill import EXIT_CODES, run_and_report
from gsc_trio.cli.demo_check import compare
from gsc_trio.cli.display import Display
from gsc_trio.cli.failures import COMPLETE, FAILED
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.cli.fake_server import FakeServerOptions
from gsc_trio.cli.options import progress_option
from gsc_trio.cli.output import say
from gsc_trio.cli.run import BackfillRequest, run_backfill
from gsc_trio.cli.stores import PathOnly
from gsc_trio.cli.summary_text import next_text
from gsc_trio.cli.telemetry import TelemetryOptions, telemetry_options
from gsc_trio.config import Settings
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.summary import RunSummary

SITE = "sc-domain:demo.example"
DAYS = 150

HELP = f"""See it work, without an account: {DAYS} days of a made-up property into SQLite.

A fake Search Console is started on this machine, as slow as Google, and the same backfill that
you would run against Google fetches from it over a real socket, with default settings. Then what
is stored is compared with what the server holds, row for row. It takes about half a minute.

The database stays, for trying SQL. Where it is there from before, only what is missing is fetched
and everything is compared again; nothing is ever deleted.

\b
Examples:
  gsc-trio demo
  gsc-trio demo --db /tmp/demo.db --days 30
"""


@click.command("demo", help=HELP, short_help="See it work, without an account.")
@click.option(
    "--db",
    "database",
    type=PathOnly(),
    default="gsc-trio-demo.db",
    show_default=True,
    metavar="PATH",
    help="Where to put the database.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 480),
    default=DAYS,
    show_default=True,
    metavar="N",
    help="How many days to fetch.",
)
@click.option(
    "--latency-scale",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    metavar="X",
    help="1 is as slow as Google; 0 answers at once.",
)
@progress_option
@telemetry_options
def command(
    database: Path,
    days: int,
    latency_scale: float,
    wants_progress: bool,
    telemetry: TelemetryOptions,
) -> int:
    """Fetch, compare."""
    trio.run(_check_database_is_ours, database)
    today = pacific_today()
    end = last_final_day(today)
    request = BackfillRequest(
        query=SearchAnalyticsQuery(SITE),
        start=end - dt.timedelta(days=days - 1),
        end=end,
        today=today,
        settings=Settings(),  # whatever the environment says is not meant for the demo
        database=database,
        telemetry=telemetry,
    )
    fake = FakeServerOptions(
        host="127.0.0.1",
        port=0,
        site=SITE,
        rows_per_day=3_000,
        rows_on_the_first=30_000,
        latency_scale=latency_scale,
        queries_per_minute=1_200,
        seed=1,
    )

    async def run(request: BackfillRequest, display: Display) -> RunSummary:
        async with open_fake_process(fake) as api_root:
            display.tell(f"the fake Search Console is at {api_root}; fetching {days} days")
            settings = attrs.evolve(request.settings, api_root=api_root)
            return await run_backfill(attrs.evolve(request, settings=settings), display)

    summary = run_and_report(request, wants_progress=wants_progress, run=run)
    if summary.status != "complete":
        return EXIT_CODES.get(summary.status, FAILED)
    exit_code = _compare(request, fake)
    say(next_text(request))
    return exit_code


async def _check_database_is_ours(database: Path) -> None:
    """Keep made-up data out of a database that holds real data.

    Raises:
        UsageError: the file holds something else.
    """
    if not await trio.Path(database).exists():
        return
    async with open_sqlite_store(database, read_only=True) as store:
        sites = {coverage.site_url for coverage in await store.coverage()}
    if sites - {SITE}:
        raise UsageError(
            f"{database} holds other properties: give the demo a database of its own with --db"
        )


def _compare(request: BackfillRequest, fake: FakeServerOptions) -> int:
    request.telemetry.tell("comparing with what the server holds")
    started_at = time.monotonic()
    comparison = compare(request, fake.simulated_property())
    seconds = time.monotonic() - started_at
    for line in comparison.differences[:10]:
        request.telemetry.tell(line)
    if comparison.differences:
        say(f"check: FAILED, {len(comparison.differences):,} days are not what the server holds")
        return FAILED
    say(f"check: all {comparison.rows:,} rows are as the server holds them ({seconds:.1f} s)")
    return COMPLETE
