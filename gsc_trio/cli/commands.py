"""The group of commands: each is loaded when it is called, and its errors are told in one line.

``gsc-trio status`` needs no HTTP client and ``gsc-trio backfill`` no server. Loading them late
halves the time to start, and an interrupt while they load is told like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import click

from gsc_trio.cli.failures import tell_error
from gsc_trio.cli.output import survive_any_locale

MODULES: Mapping[str, str] = {
    "demo": "gsc_trio.cli.demo",
    "login": "gsc_trio.cli.login",
    "logout": "gsc_trio.cli.logout",
    "accounts": "gsc_trio.cli.accounts",
    "sites": "gsc_trio.cli.sites",
    "backfill": "gsc_trio.cli.backfill",
    "sync": "gsc_trio.cli.sync",
    "status": "gsc_trio.cli.status",
    "report": "gsc_trio.cli.report",
    "verify": "gsc_trio.cli.verify",
    "sitemaps": "gsc_trio.cli.sitemaps",
    "inspect": "gsc_trio.cli.inspect",
    "export": "gsc_trio.cli.export",
    "datasette-metadata": "gsc_trio.cli.datasette_metadata",
    "rollout": "gsc_trio.cli.rollout",
    "enqueue": "gsc_trio.cli.enqueue",
    "workers": "gsc_trio.cli.workers",
    "shards": "gsc_trio.cli.shards",
    "fake-server": "gsc_trio.cli.fake_server",
}
"""Where each command is, as ``command``; in the order in which a newcomer meets them."""


class Commands(click.Group):
    """Commands that return exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one."""
        if cmd_name not in MODULES:
            return None
        command: click.Command = import_module(MODULES[cmd_name]).command
        return command

    def main(self, *args: object, **extra: object) -> None:  # type: ignore[override]
        """Run a command and end the program with its exit code."""
        extra["standalone_mode"] = False
        extra["prog_name"] = self.name  # also when it runs as python -m gsc_trio.cli
        survive_any_locale()
        try:
            exit_code = super().main(*args, **extra)  # type: ignore[call-overload]
        except BaseException as error:  # noqa: BLE001 - errors that are not known are raised again
            exit_code = tell_error(error)
        raise SystemExit(exit_code)
