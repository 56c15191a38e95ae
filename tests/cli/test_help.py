from __future__ import annotations

import re
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from gsc_trio.cli import main
from gsc_trio.cli.commands import MODULES

COMMANDS = [
    "demo",
    "login",
    "logout",
    "accounts",
    "sites",
    "backfill",
    "sync",
    "status",
    "report",
    "verify",
    "sitemaps",
    "inspect",
    "export",
    "datasette-metadata",
    "rollout",
    "enqueue",
    "workers",
    "shards",
    "fake-server",
]

RunCli = Callable[..., Result]


def parameters_of(name: str) -> list[click.Parameter]:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command.params


def test_there_are_these_commands(run_cli: RunCli) -> None:
    assert list(MODULES) == COMMANDS
    overview = run_cli("--help").stdout
    assert all(f"  {name} " in overview for name in COMMANDS)
    # The way of a newcomer, in this order.
    way = ["demo", "login", "sites", "backfill", "sync", "verify", "export"]
    assert re.findall(r"^    gsc-trio (\S+) .*#", overview, re.MULTILINE) == way


@pytest.mark.parametrize("name", COMMANDS)
def test_help_teaches(name: str, run_cli: RunCli) -> None:
    result = run_cli(name, "--help")
    assert result.exit_code == 0
    assert "Examples:\n" in result.stdout
    assert f"  gsc-trio {name}" in result.stdout
    for parameter in parameters_of(name):
        if not getattr(parameter, "hidden", False):
            assert all(option in result.stdout for option in parameter.opts), parameter
            assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None)


def test_backfill_has_the_options_of_the_issue(run_cli: RunCli) -> None:
    options = {option for each in parameters_of("backfill") for option in each.opts}
    assert options == {
        *("site", "--sites", "--days", "--start", "--end", "--db", "--dimensions", "--search-type"),
        *("--data-state", "--max-concurrency", "--batch-size", "--max-queue-size"),
        *("--max-in-flight", "--queries-per-minute", "--api-root", "--access-token", "--config"),
        *("--filter", "--aggregation-type", "--store"),
        *("--profile", "--progress", "--json", "--wait", "--record", "--account", "--key-file"),
        *("--log-format", "--log-level", "--metrics-port", "--metrics-host"),
        *("--telemetry-identities", "--report", "--store"),
    }
    text = " ".join(run_cli("backfill", "--help").stdout.split())
    for fact in (
        "[default: 3; 1 to 100, or auto]",
        "16 months",
        "three days ago",
        "Exit codes: 0 complete, 1 failed",
    ):
        assert fact in text


def test_the_version(run_cli: RunCli) -> None:
    assert run_cli("--version").stdout.startswith("gsc-trio, version ")
