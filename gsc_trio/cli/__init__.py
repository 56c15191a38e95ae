"""The command line; `main` is what ``gsc-trio`` runs. Nothing imports this package."""

from __future__ import annotations

import click

from gsc_trio.cli.commands import Commands
from gsc_trio.cli.failures import USAGE

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
