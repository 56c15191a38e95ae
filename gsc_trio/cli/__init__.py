"""The command line; `main` is what ``gsc-trio`` runs. Nothing imports this package."""

from __future__ import annotations

import click

from gsc_trio.cli.commands import Commands
from gsc_trio.cli.failures import USAGE
from gsc_trio.cli.interpreter import set_up_interpreter

HELP = """Copy Google Search Console data to where you work with it, and keep it up to date.

Sign in once, fetch a property's history (16 months, as fast as Google's quota allows), let sync
bring new days, verify them against Google's totals, and take the data out. What was stored is never
lost or doubled, whatever interrupts a run: the same command goes on from there.

\b
Begin here:
  gsc-trio demo                                            # see it work, without an account
  gsc-trio login --client client.json                      # your Google account, once
  gsc-trio sites                                           # what it can see
  gsc-trio backfill sc-domain:example.com --db gsc.db      # its history into SQLite
\b
Then, every day:
  gsc-trio sync --db gsc.db                                # new days; for cron and systemd
  gsc-trio verify --db gsc.db                              # is everything there?
  gsc-trio export search-console/ --db gsc.db              # Parquet, CSV or DuckDB
\b
Each command has --help with examples. The Tab key completes commands and options:
  eval "$(_GSC_TRIO_COMPLETE=bash_source gsc-trio)"        # zsh: zsh_source; fish: fish_source
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
    set_up_interpreter()
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)
