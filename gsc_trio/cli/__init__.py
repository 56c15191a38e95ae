"""The command line; `main` is what ``gsc-trio`` runs. Nothing imports this package."""

from __future__ import annotations

import click

from gsc_trio.cli.backfill import backfill_command
from gsc_trio.cli.demo import demo_command
from gsc_trio.cli.failures import USAGE, Commands
from gsc_trio.cli.fake_server import fake_server_command
from gsc_trio.cli.status import status_command

HELP = """Copy Google Search Console data into your own SQLite database.

\b
Examples:
  gsc-trio demo                                   # see it work, without an account
  gsc-trio backfill sc-domain:example.com --db gsc.db
  gsc-trio status --db gsc.db
"""


@click.group(
    "gsc-trio",
    cls=Commands,
    help=HELP,
    invoke_without_command=True,
    context_settings={"max_content_width": 100},
)
@click.version_option(package_name="gsc-trio")
@click.pass_context
def main(context: click.Context) -> None:
    """Each command has a module of its own."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


main.add_command(demo_command)
main.add_command(backfill_command)
main.add_command(status_command)
main.add_command(fake_server_command)
