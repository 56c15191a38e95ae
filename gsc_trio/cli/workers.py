"""``gsc-trio workers``: work on shards, on as many machines as there are."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import click

from gsc_trio.cli.failures import COMPLETE, FAILED, USAGE
from gsc_trio.cli.options import config_option
from gsc_trio.cli.shards_options import (
    CONFIG,
    address_of,
    database_option,
    shards_of,
    silent_option,
)
from gsc_trio.cli.telemetry import TelemetryOptions, telemetry_options
from gsc_trio.cli.worker_telemetry import open_worker_telemetry
from gsc_trio.client import user_of
from gsc_trio.credentials.choice import choose_credentials
from gsc_trio.shards.plan import Shard
from gsc_trio.telemetry.instrument import Instrument

HELP = """Work on shards that `gsc-trio enqueue` has queued.

\b
Examples:
  gsc-trio workers start --db postgresql://gsc@db.example/gsc --config gsc-trio.toml
  gsc-trio workers start --help
"""

START_HELP = """Take shards from the queue and bring them up to date, until stopped.

Start one on each machine, or several on one with more cores. They need the same settings file, and
the accounts that it names signed in (`gsc-trio login`). A shard is with one worker at a time. A
worker that gives no sign of life for --silent-seconds, since it or its machine died or hangs, is
replaced: its shards go back to the queue. Should it come back, its commits are refused.

SIGTERM and Ctrl-C: what was answered is written (grace_seconds of the settings), shards go back to
the queue, and it ends with 0. A second one ends it at once; nothing that was committed is lost.

\b
Examples:
  gsc-trio workers start --db postgresql://gsc@db.example/gsc --config gsc-trio.toml
  gsc-trio workers start --db postgresql:///gsc --config gsc-trio.toml --shards 8
  gsc-trio workers start --db postgresql:///gsc --config gsc-trio.toml --until-idle
  gsc-trio workers start --db postgresql:///gsc --config gsc-trio.toml --metrics-port 9464

\b
Exit codes: 0 stopped, or nothing is queued any more with --until-idle; 1 the database cannot be
used; 2 wrong usage (nothing was begun).
"""


@click.group("workers", help=HELP, short_help="Work on queued shards.", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """Its commands."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


@command.command("start", help=START_HELP, short_help="Take shards from the queue, until stopped.")
@database_option
@config_option(CONFIG)
@click.option(
    "--shards",
    "shards_at_once",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    metavar="N",
    help="How many shards to work on at once. They share a core: start more workers for more.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="What `gsc-trio shards` calls this worker.  [default: HOST:PROCESS]",
)
@silent_option("How long a worker may give no sign of life; the same for all of them.")
@click.option("--until-idle", is_flag=True, help="End when nothing is queued any more.")
@telemetry_options
def start(
    database: str,
    config_file: Path | None,
    shards_at_once: int,
    name: str | None,
    silent_seconds: float,
    until_idle: bool,
    telemetry: TelemetryOptions,
) -> int:
    """Check everything, then work."""
    shards = shards_of(config_file)
    credentials = {shard.name: choose_credentials(shard.settings) for shard in shards.values()}
    address = address_of(database, "workers")
    from gsc_trio.shards.run import ShardRunner  # needs Procrastinate and psycopg
    from gsc_trio.shards.worker import WorkerOptions, work

    name = name or f"{socket.gethostname()}:{os.getpid()}"
    _log_in_lines(telemetry.tell)
    with open_worker_telemetry(telemetry) as instruments:

        def open_instruments(shard: Shard) -> AbstractAsyncContextManager[list[Instrument]]:
            user = user_of(credentials[shard.name])
            return instruments.open(shard.settings, shard=shard.name, user=user)

        runner = ShardRunner(address, name, shards, credentials, open_instruments, telemetry.tell)
        options = WorkerOptions(address, name, shards_at_once, silent_seconds, until_idle)
        telemetry.tell(
            f"{name}: works on up to {shards_at_once} shards at once that are queued in {address}; "
            f"the settings file has {len(shards):,}"
        )
        has_ended_well = work(options, runner.run, telemetry.tell)
    return COMPLETE if has_ended_well else FAILED


class _Lines(logging.Handler):
    """Tells what libraries log, a line each; a traceback of theirs would say nothing more."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one."""
        cause = record.exc_info[1] if record.exc_info else None
        while cause is not None and cause.__cause__ is not None:
            cause = cause.__cause__
        details = f": {cause!r}" if cause is not None else ""
        self._tell(f"{record.name}: {record.getMessage()}{details}")


def _log_in_lines(tell: Callable[[str], None]) -> None:
    logging.basicConfig(handlers=[_Lines(tell)], level=logging.WARNING)
    # It tries to connect again and again, and says so each time; what comes of it is told by us.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
