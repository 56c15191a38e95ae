"""``gsc-trio shards``: which worker does what, since when, and how far it is."""

from __future__ import annotations

import datetime as dt

import attrs
import click

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import json_option
from gsc_trio.cli.output import say, say_json
from gsc_trio.cli.shards_options import address_of, database_option, silent_option
from gsc_trio.cli.tables import Side, aligned_table

HELP = """Say which worker has which shard, since when, and how far it is.

The token counts how often a shard was taken: a commit of anyone with an older one is refused. The
states: queued; running; silent (its worker gives no sign of life, and another will take over);
complete, failed, interrupted or taken over, as the latest run ended. Days, rows and queries are
those of that run. A target is a property with a search type and a set of dimensions; those count
that the run has brought up to date, and at its end all that are.

\b
Examples:
  gsc-trio shards --db postgresql://gsc@db.example/gsc
  gsc-trio shards --db postgresql:///gsc --json | jq '.[] | select(.status == "failed")'
"""

_COLUMNS: dict[str, Side] = {
    "shard": "left",
    "state": "left",
    "worker": "left",
    "token": "right",
    "since (UTC)": "left",
    "last told (UTC)": "left",
    "targets": "right",
    "days": "right",
    "rows": "right",
    "queries": "right",
}


@click.command("shards", help=HELP, short_help="Say which worker does what.")
@database_option
@silent_option("Without a sign of life for so long, a worker is told as silent.")
@json_option("Print a JSON list of objects.")
def command(database: str, silent_seconds: float, wants_json: bool) -> int:
    """Look, print."""
    address = address_of(database, "shards")
    from gsc_trio.shards.board import ShardLine, look  # needs psycopg

    def cells(line: ShardLine) -> tuple[str, ...]:
        return (
            line.shard,
            line.status,
            line.worker or "-",
            "-" if line.token is None else str(line.token),
            _instant(line.since),
            _instant(line.told),
            f"{line.targets_done:,}/{line.targets:,}",
            f"{line.days:,}",
            f"{line.rows:,}",
            f"{line.queries:,}",
        )

    lines = look(address, silent_seconds)
    if wants_json:
        say_json([attrs.asdict(line) for line in lines])
    elif lines:
        say(aligned_table(_COLUMNS, map(cells, lines)))
        for line in lines:
            if line.status == "failed":
                say(f"{line.shard}: {line.reason}")
    else:
        say(f"{address} has no shards yet: `gsc-trio enqueue` queues some")
    return COMPLETE


def _instant(instant: dt.datetime | None) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}" if instant else "-"
