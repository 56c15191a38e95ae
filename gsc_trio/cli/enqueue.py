"""``gsc-trio enqueue``: have shards brought up to date by the workers."""

from __future__ import annotations

from pathlib import Path

import click

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import config_option, json_option
from gsc_trio.cli.output import say, say_json
from gsc_trio.cli.shards_options import CONFIG, address_of, database_option, shards_of
from gsc_trio.shards.plan import choose_shards

HELP = """Queue shards: workers bring what the [[sync]] tables list up to date.

A shard is an account with all properties that it asks for; SHARD is the account's name, and without
one all shards are queued. One that is queued or being worked on already is not queued a second
time, so this can be run by a timer on several machines.

\b
Examples:
  gsc-trio enqueue --db postgresql://gsc@db.example/gsc --config gsc-trio.toml
  gsc-trio enqueue north south --db postgresql://gsc@db.example/gsc --config gsc-trio.toml
  gsc-trio enqueue --db postgresql:///gsc --config gsc-trio.toml --json

\b
Exit codes: 0 all of them are queued or being worked on; 1 the database cannot be used; 2 wrong
usage (nothing was queued).
"""


@click.command("enqueue", help=HELP, short_help="Queue shards for the workers.")
@click.argument("names", nargs=-1, metavar="[SHARD]...")
@database_option
@config_option(CONFIG)
@json_option("Print one JSON object.")
def command(
    names: tuple[str, ...], database: str, config_file: Path | None, wants_json: bool
) -> int:
    """Look who is there, queue, tell."""
    shards = choose_shards(shards_of(config_file), names)
    address = address_of(database, "enqueue")
    from gsc_trio.shards.jobs import enqueue  # needs Procrastinate

    outcomes = enqueue(address, [shard.name for shard in shards])
    if wants_json:
        say_json(outcomes)
    else:
        for shard in shards:
            count = len(shard.sites)
            properties = f"{count:,} {'property' if count == 1 else 'properties'}"
            say(f"{outcomes[shard.name]}: {shard.name} ({properties})")
    return COMPLETE
