"""``gsc-trio datasette-metadata``: what makes ``datasette gsc.db`` a useful page."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import database_option
from gsc_trio.cli.output import say
from gsc_trio.export.datasette import datasette_metadata

HELP = """Describe a database to Datasette: tables, columns and their units, queries to begin with.

Datasette (https://datasette.io) shows a SQLite database in the browser. It is not part of this
package: pip install datasette. On a large database queries take longer than the second that
Datasette allows, hence the setting below.

\b
Examples:
  gsc-trio datasette-metadata --db gsc.db > metadata.json
  datasette gsc.db --metadata metadata.json --setting sql_time_limit_ms 30000 --open
"""


@click.command("datasette-metadata", help=HELP, short_help="Describe a database to Datasette.")
@database_option("The SQLite database of a backfill.", takes_addresses=False)
def command(database: Path) -> int:
    """Print it."""
    say(json.dumps(datasette_metadata(database), indent=2))
    return COMPLETE
