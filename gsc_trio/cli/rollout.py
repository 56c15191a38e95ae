"""``gsc-trio rollout``: the playbook's checklist as a command, with a report at its end."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import click
import trio

from gsc_trio.cli.date_range import choose_days
from gsc_trio.cli.failures import COMPLETE, FAILED, INTERRUPTED, first_cause, reason_of
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.cli.fake_server import FakeServerOptions
from gsc_trio.cli.options import (
    config_option,
    database_option,
    json_option,
    profile_option,
    progress_option,
    settings_options_without,
)
from gsc_trio.cli.output import say, say_json
from gsc_trio.cli.run import shown_progress
from gsc_trio.cli.signals import halt_on_signals
from gsc_trio.cli.telemetry import (
    TelemetryOptions,
    choose_shown,
    open_telemetry,
    telemetry_options,
)
from gsc_trio.client import user_of
from gsc_trio.config_sources import load_settings
from gsc_trio.credentials.choice import choose_credentials
from gsc_trio.dates import pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import DIMENSIONS, SEARCH_TYPES, SearchAnalyticsQuery
from gsc_trio.rollout.findings import Findings
from gsc_trio.rollout.page import page
from gsc_trio.rollout.plan import Rehearsal, RolloutRequest, check_paths
from gsc_trio.rollout.preflight import MOST_PAGES_PER_DAY
from gsc_trio.rollout.record import record, status
from gsc_trio.rollout.run import run_rollout
from gsc_trio.rollout.template import advice, report, verdict
from gsc_trio.rollout.wording import run_lines
from gsc_trio.telemetry.instrument import Instrument

DAYS = 150
LATENCY_SCALE = 0.4

EXIT_CODES = {"passed": COMPLETE, "failed": FAILED, "interrupted": INTERRUPTED}

HELP = f"""Raise concurrency with proof: 1, 3 and 5 workers, each stage gated by the one before.

SITE is the property as Search Console writes it. After a preflight, the last {DAYS} days are
fetched by the sequential loop (the baseline), with three workers into the database, and, if that is
as fast as it can be and holds the same rows, with five. Then the drill: a run is halted, resumed
and dropped to one worker, with a clock beside it. A stage begins when all gates before it have
passed; what fails is named.

The baseline, the other runs and the report (report.md, report.html) are put into a folder beside
the database, PATH.rollout. Every run spends queries of your quota; how many is said first, and on
a terminal you are asked. --against-fake rehearses it all with a fake Search Console on this
machine, without an account, in about a minute.

\b
Examples:
  gsc-trio rollout sc-domain:example.com --db rehearsal.db --against-fake
  gsc-trio rollout sc-domain:example.com --days {DAYS} --db gsc.db
  gsc-trio rollout sc-domain:example.com --db gsc.db --baseline-days 30 --yes
  gsc-trio rollout sc-domain:example.com --db gsc.db --yes --json | jq .failed

\b
Exit codes: 0 all gates passed, 1 one failed, 2 wrong usage (nothing was changed), 130 interrupted.
"""


@click.command("rollout", help=HELP, short_help="Raise concurrency with proof.")
@click.argument("site")
@click.option(
    "--days",
    type=int,
    default=DAYS,
    show_default=True,
    metavar="N",
    help="The last N days, ending three days ago.",
)
@click.option(
    "--baseline-days",
    type=int,
    metavar="N",
    help="How many of the newest of them the baseline, stage 5 and the drill fetch; by default "
    "all. Fewer spend fewer queries.",
)
@database_option(
    "The SQLite database; it is made if it is not there, and must have none of these days.",
    takes_addresses=False,
)
@click.option(
    "--dimensions",
    default="page,query",
    show_default=True,
    metavar="NAMES",
    help=f"What rows are grouped by beside the date, with commas: {', '.join(DIMENSIONS)}; "
    "or date alone.",
)
@click.option(
    "--search-type",
    default="web",
    show_default=True,
    metavar="TYPE",
    help=f"One of {', '.join(SEARCH_TYPES)}.",
)
@click.option("--yes", "is_agreed", is_flag=True, help="Do not ask before queries are spent.")
@click.option(
    "--fresh", is_flag=True, help="Remove the folder of an earlier rollout, and begin anew."
)
@click.option(
    "--against-fake",
    is_flag=True,
    help="Rehearse with a fake Search Console on this machine, which holds SITE.",
)
@click.option(
    "--latency-scale",
    type=click.FloatRange(0, 100),
    metavar="X",
    help=f"How slow the fake is: 1 is as slow as Google.  [default: {LATENCY_SCALE:g}]",
)
@settings_options_without("max_concurrency")
@config_option()
@profile_option
@progress_option
@telemetry_options
@json_option("Print the findings as one JSON object.")
def command(
    *,
    site: str,
    days: int,
    baseline_days: int | None,
    database: Path,
    dimensions: str,
    search_type: str,
    is_agreed: bool,
    fresh: bool,
    against_fake: bool,
    latency_scale: float | None,
    config_file: Path | None,
    profile: str | None,
    wants_progress: bool,
    wants_json: bool,
    telemetry: TelemetryOptions,
    **flags: Any,
) -> int:
    """Check, ask, run, report."""
    settings = load_settings(profile=profile, config_file=config_file, **flags)
    if latency_scale is not None and not against_fake:
        raise UsageError("--latency-scale is the fake's: give --against-fake, too")
    today = pacific_today()
    _, end = choose_days(days, None, None, today)
    scale = LATENCY_SCALE if latency_scale is None else latency_scale
    request = RolloutRequest(
        query=SearchAnalyticsQuery(
            site_url=site,
            search_type=search_type,
            dimensions=tuple(name.strip() for name in dimensions.split(",")),
        ),
        end=end,
        days=days,
        baseline_days=days if baseline_days is None else baseline_days,
        today=today,
        # The fake is on this machine, and takes everyone: a token has no business there.
        settings=attrs.evolve(settings, access_token=None) if against_fake else settings,
        database=database,
        rehearsal=Rehearsal(scale) if against_fake else None,
        credentials=None if against_fake else choose_credentials(settings, site),
    )
    check_paths(request, fresh=fresh)
    _ask(request, telemetry, is_agreed=is_agreed)
    findings = Findings(request)
    screen = _Screen(telemetry, wants_progress=wants_progress)
    try:
        trio.run(_run, findings, screen)
    except Exception as error:
        cause = first_cause(error)
        if not isinstance(cause, UsageError):
            findings.failure = reason_of(cause)
            _report(findings, wants_json=wants_json)
        raise
    _report(findings, wants_json=wants_json)
    return EXIT_CODES[status(findings)]


def _ask(request: RolloutRequest, telemetry: TelemetryOptions, *, is_agreed: bool) -> None:
    """Say what it costs, and ask if there is someone to answer.

    Raises:
        click.Abort: they do not want to.
    """
    least, most = request.queries(1), request.queries(MOST_PAGES_PER_DAY)
    telemetry.tell(
        f"rollout of {request.query.site_url}, {request.days:,} days: {least:,} queries if each "
        f"day fits on one page, at most about {most:,}; the quota is "
        f"{request.settings.queries_per_minute:,} a minute"
    )
    if request.rehearsal is None and not is_agreed and sys.stdin.isatty():
        click.confirm("Spend them?", abort=True, err=True)


async def _run(findings: Findings, screen: _Screen) -> None:
    request = findings.request
    interruption = HaltSwitch()
    async with trio.open_nursery() as nursery:
        await nursery.start(
            halt_on_signals, interruption, request.settings.grace_seconds, screen.tell
        )
        async with (
            open_telemetry(
                screen.telemetry,
                request.settings,
                site=request.query.site_url,
                user=user_of(request.credentials),
            ) as screen.instruments,
            _served(request, screen) as findings.request,
        ):
            await run_rollout(
                findings.request,
                findings,
                interruption=interruption,
                watch=screen.watch,
                tell=screen.tell,
            )
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _served(request: RolloutRequest, screen: _Screen) -> AsyncIterator[RolloutRequest]:
    """The request with whoever answers it: Google, or the fake for as long as the body runs."""
    if request.rehearsal is None:
        yield request
        return
    fake = FakeServerOptions(
        host="127.0.0.1",
        port=0,
        site=request.query.site_url,
        rows_per_day=400,
        rows_on_the_first=26_000,
        latency_scale=request.rehearsal.latency_scale,
        queries_per_minute=1_200,
        seed=1,
    )
    async with open_fake_process(fake) as api_root:
        screen.tell(
            f"a rehearsal: the fake Search Console is at {api_root}, with latency scale "
            f"{fake.latency_scale:g}"
        )
        settings = attrs.evolve(request.settings, api_root=api_root)
        yield attrs.evolve(request, settings=settings)


def _report(findings: Findings, *, wants_json: bool) -> None:
    """Write the report's files if the folder is this rollout's, and tell the outcome."""
    folder = findings.request.folder
    lines = [verdict(findings), *(f"  {line}" for line in run_lines(findings))]
    if findings.has_begun:
        markdown = report(findings)
        title = f"Rollout of {findings.request.query.site_url}"
        (folder / "report.md").write_text(markdown, encoding="utf-8")
        (folder / "report.html").write_text(page(markdown, title), encoding="utf-8")
        lines.append(f"  report: {folder / 'report.html'} and report.md beside it")
    lines += ["", "What to do now:", *(f"  {line}" for line in advice(findings))]
    if wants_json:
        say_json(record(findings))
    else:
        say("\n".join(lines))


class _Screen:
    """Where a rollout is shown: a display for each run, plain lines between them."""

    def __init__(self, telemetry: TelemetryOptions, *, wants_progress: bool) -> None:
        self.telemetry = telemetry
        self.instruments: Sequence[Instrument] = ()
        """Who else watches, as a log and metrics."""
        self._wants_progress = wants_progress
        self._display = self._between_runs = choose_shown(telemetry, wants_progress=False)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Sequence[Instrument]]:
        """Show a run for as long as the body runs."""
        with choose_shown(self.telemetry, wants_progress=self._wants_progress) as self._display:
            async with shown_progress(self._display) as progress:
                yield [progress, *self.instruments]
        self._display = self._between_runs

    def tell(self, text: str) -> None:
        """Show a line."""
        self._display.tell(text)
