"""How a benchmark that can fail for a user's mistake is run: errors in one line, as gsc-trio's."""

from __future__ import annotations

import sys

import click

from gsc_trio.cli.failures import tell_error


def run_program(command: click.Command) -> None:
    """Run a command whose function returns the exit code, and end the process with that."""
    try:
        exit_code = command.main(standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - errors that are not known are raised again
        exit_code = tell_error(error)
    sys.exit(exit_code)
