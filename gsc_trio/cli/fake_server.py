"""``gsc-trio fake-server``: the fake Search Console on a socket, for trying things."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import click
import trio

from gsc_trio.cli.failures import COMPLETE, first_cause
from gsc_trio.cli.output import say, tell
from gsc_trio.cli.signals import signals_to_heed
from gsc_trio.dates import last_final_day, oldest_day, pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing import (
    Cassette,
    FakeOAuthServer,
    FakeSearchConsole,
    Latency,
    Quota,
    RecordedProperty,
    SimulatedProperty,
    read_cassette,
    recorded_properties,
    serve_fake_search_console,
)
from gsc_trio.testing.latency import SECONDS_PER_CALL, SECONDS_PER_ROW
from gsc_trio.testing.transport import App

HELP = """Serve a fake Search Console on this machine, until Ctrl-C.

It answers as Google does (queries, batches, the list of sites, quota, errors), with made-up data
that follows from the seed alone: the same day has the same rows in every run. Any access token
will do, and none as well. Its address is the first line on stdout.

With --cassette it replays recorded answers instead, and refuses what was not recorded; the options
on sites and rows do not count then.

\b
Examples:
  gsc-trio fake-server
  gsc-trio backfill sc-domain:example.com --days 30 --db try.db --api-root http://127.0.0.1:8765
  gsc-trio fake-server --port 0 --latency-scale 0 --queries-per-minute 60
  gsc-trio fake-server --site https://shop.example/ --rows-per-day 20000 --seed 7
  gsc-trio fake-server --cassette 150-days.cassette --latency-jitter 0 --parallel-parts
  gsc-trio fake-server --sign-in fake-google      # then: gsc-trio login --client ...
"""


@attrs.frozen
class FakeServerOptions:
    """What the fake serves, and where."""

    host: str
    port: int
    site: str
    rows_per_day: int
    rows_on_the_first: int
    """Rows of the first day of each month; with more than 25,000 it has several pages."""
    latency_scale: float
    queries_per_minute: int
    seed: int
    latency_jitter: float = 0.3
    seconds_per_call: float = SECONDS_PER_CALL
    seconds_per_row: float = SECONDS_PER_ROW
    parallel_parts: bool = False
    cassette: Path | None = None
    sign_in: Path | None = None
    """A folder for the files that one signs in with; without it, everyone is let in."""

    def simulated_property(self) -> SimulatedProperty:
        """The property that it serves; the same options give the same rows in every process."""
        today = pacific_today()
        oldest = oldest_day(today)
        days = [oldest + dt.timedelta(days=number) for number in range((today - oldest).days + 1)]
        return SimulatedProperty(
            site_url=self.site,
            seed=self.seed,
            rows_per_day=self.rows_per_day,
            rows_by_day={day: self.rows_on_the_first for day in days if day.day == 1},
        )

    def fake_search_console(
        self, properties: Sequence[SimulatedProperty | RecordedProperty]
    ) -> FakeSearchConsole:
        """The app."""
        return FakeSearchConsole(
            properties,
            quota=Quota(
                queries_per_minute=self.queries_per_minute,
                project_queries_per_minute=max(40_000, self.queries_per_minute),
            ),
            latency=Latency(
                seconds_per_call=self.seconds_per_call,
                seconds_per_row=self.seconds_per_row,
                scale=self.latency_scale,
                jitter=self.latency_jitter,
                parallel_parts=self.parallel_parts,
                seed=self.seed,
            ),
            last_final_day=last_final_day(pacific_today()),
        )


@click.command("fake-server", help=HELP, short_help="Serve a fake Search Console.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8765,
    show_default=True,
    metavar="N",
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--site",
    default="sc-domain:example.com",
    show_default=True,
    metavar="SITE",
    help="The property that it holds.",
)
@click.option(
    "--rows-per-day",
    type=click.IntRange(0, 50_000),
    default=1_000,
    show_default=True,
    metavar="N",
    help="About how many rows a weekday has, by page and query; weekends have fewer.",
)
@click.option(
    "--rows-on-the-first",
    type=click.IntRange(0, 50_000),
    default=30_000,
    show_default=True,
    metavar="N",
    help="How many rows the first day of each month has; above 25,000 it takes several pages.",
)
@click.option(
    "--latency-scale",
    type=click.FloatRange(0, 1_000),
    default=1.0,
    show_default=True,
    metavar="X",
    help="1 is as slow as Google (0.35 s a query, and more for many rows); 0 answers at once.",
)
@click.option(
    "--latency-jitter",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    metavar="X",
    help="By what share of itself each latency varies, up or down.",
)
@click.option(
    "--seconds-per-call",
    type=click.FloatRange(0, 3_600),
    default=SECONDS_PER_CALL,
    show_default=True,
    metavar="SECONDS",
    help="What a query takes, before --latency-scale.",
)
@click.option(
    "--seconds-per-row",
    type=click.FloatRange(0, 1),
    default=SECONDS_PER_ROW,
    show_default=True,
    metavar="SECONDS",
    help="What each row in its answer adds.",
)
@click.option(
    "--parallel-parts",
    is_flag=True,
    help="Work on all queries of a batch at once, rather than one after another.",
)
@click.option(
    "--cassette",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Replay the answers of a cassette.",
)
@click.option(
    "--queries-per-minute",
    type=click.IntRange(1, 1_000_000),
    default=1_200,
    show_default=True,
    metavar="N",
    help="The quota of each site and user; what is above it is refused as Google does.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="What all data follows from.",
)
@click.option(
    "--sign-in",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Let in only who signed in, at a fake OAuth server; an OAuth client and the key of a "
    "service account for it are written to that folder.",
)
@click.option("--until-stdin-closes", is_flag=True, hidden=True)
def command(until_stdin_closes: bool, **options: Any) -> int:
    """Serve."""
    chosen = FakeServerOptions(**options)
    SearchAnalyticsQuery(chosen.site)  # refuses a name that no property has
    if chosen.cassette is None:
        app = chosen.fake_search_console([chosen.simulated_property()])
        content = f"holds {chosen.site}"
        wanted = f"{chosen.site} --days 30"
    else:
        cassette = read_cassette(chosen.cassette)
        app = chosen.fake_search_console(recorded_properties(cassette))
        content = f"replays {cassette.label}"
        wanted = _request_for_all_of(cassette)
    introduce = partial(_introduce, content, wanted)
    trio.run(_serve, chosen, app, introduce, until_stdin_closes)
    return COMPLETE


def _request_for_all_of(cassette: Cassette) -> str:
    """What to give to ``gsc-trio backfill`` for a cassette's property and days."""
    requests = cassette.answers.keys()
    days = [request.data_date for request in requests]
    one = next(iter(requests))
    return f"{one.site_url} --start {min(days)} --end {max(days)}"


async def _serve(
    options: FakeServerOptions,
    fake: FakeSearchConsole,
    introduce: Callable[[str], None],
    until_stdin_closes: bool,
) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    oauth = FakeOAuthServer()
    app: App = fake
    if options.sign_in is not None:
        fake.access_tokens, fake.user_of = oauth.access_tokens, oauth.user_of
        app = oauth.in_front_of(fake)
    with trio.open_signal_receiver(*signals_to_heed()) as signals:
        try:
            async with serve_fake_search_console(app, host=host, port=options.port) as api_root:
                if options.sign_in is not None:
                    await trio.to_thread.run_sync(
                        _write_sign_in_files, options.sign_in, oauth, api_root
                    )
                await trio.to_thread.run_sync(introduce, api_root)
                async with trio.open_nursery() as nursery:
                    if until_stdin_closes:
                        nursery.start_soon(_cancel_when_stdin_closes, nursery.cancel_scope)
                    await anext(signals)
                    nursery.cancel_scope.cancel()
        except* OSError as errors:
            reason = first_cause(errors)
            raise UsageError(f"cannot listen on {host}:{options.port}: {reason}") from None


def _introduce(content: str, wanted: str, api_root: str) -> None:
    say(api_root)
    tell(f"the fake Search Console {content}; Ctrl-C ends it. Try:")
    tell(f"gsc-trio backfill {wanted} --db try.db --api-root {api_root}")


def _write_sign_in_files(folder: Path, oauth: FakeOAuthServer, api_root: str) -> None:
    files = {
        "client.json": oauth.client_file(api_root),
        "service-account.json": oauth.key_file(api_root),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, indent=2))
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
    tell(f"it wants to be signed in to; try: gsc-trio login --client {folder / 'client.json'}")


async def _cancel_when_stdin_closes(scope: trio.CancelScope) -> None:
    """End with the process at the other end of stdin, even if that was killed."""
    # Not sys.stdin.read: its lock would be held by the thread when the interpreter ends.
    while await trio.to_thread.run_sync(os.read, 0, 4_096, abandon_on_cancel=True):
        pass
    scope.cancel()
