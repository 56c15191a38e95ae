"""Errors are told in one line, and never as a traceback unless the program is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gsc_trio.cli.commands import Commands
from gsc_trio.cli.failures import first_cause
from gsc_trio.cli.output import one_line
from gsc_trio.errors import StorageError, UsageError

SITE = "sc-domain:example.com"


def run_raising(error: BaseException) -> Result:
    """Run a command that raises an error."""

    def fail() -> None:
        raise error

    class OneCommand(Commands):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return click.Command("fail", callback=fail)

    return CliRunner().invoke(OneCommand("gsc-trio"), ["fail"])


@pytest.mark.parametrize(
    ("error", "exit_code", "line"),
    [
        (UsageError("no such thing"), 2, "gsc-trio: no such thing"),
        (StorageError("the disk is full"), 1, "gsc-trio: the disk is full"),
        (OSError(28, "No space left"), 1, "gsc-trio: [Errno 28] No space left"),
        (KeyboardInterrupt(), 130, "gsc-trio: interrupted"),
        (UsageError("two\nlines \x1b[31mred"), 2, "gsc-trio: two lines [31mred"),
        (
            ExceptionGroup("", [ExceptionGroup("", [ValueError(), StorageError("full")])]),
            1,
            "gsc-trio: full",
        ),
        (
            BaseExceptionGroup("", [StorageError("full"), KeyboardInterrupt()]),
            130,
            "gsc-trio: interrupted",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, exit_code: int, line: str
) -> None:
    result = run_raising(error)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr.strip().splitlines() == [line]


def test_an_error_of_the_program_keeps_its_traceback() -> None:
    error = RuntimeError("a mistake of ours")
    assert run_raising(error).exception is error


def test_the_first_cause_is_what_a_person_should_be_told() -> None:
    usage, storage, other = UsageError("usage"), StorageError("storage"), ValueError("other")
    assert first_cause(other) is other
    assert first_cause(ExceptionGroup("", [other, ExceptionGroup("", [storage])])) is storage
    assert first_cause(ExceptionGroup("", [storage, other, usage])) is usage


def test_a_server_cannot_write_to_the_terminal() -> None:
    assert one_line("\x1b]0;title\x07Not\r\n found\u202e") == "]0;title Not found"


@pytest.fixture
def damaged_database(run_cli: Callable[..., Result], api_root: str) -> Path:
    run_cli("backfill", SITE, "--db", "gsc.db", "--days", 40, "--api-root", api_root)
    database = Path("gsc.db")
    content = bytearray(database.read_bytes())
    content[20_000:] = b"\xa5" * (len(content) - 20_000)
    database.write_bytes(content)
    return database


def test_a_damaged_database_fails_and_json_says_so(
    damaged_database: Path, run_cli: Callable[..., Result], api_root: str
) -> None:
    arguments = ("backfill", SITE, "--db", damaged_database, "--days", 50, "--api-root", api_root)
    plain = run_cli(*arguments, "--no-progress")
    assert plain.exit_code == 1
    assert "damaged" in plain.output
    result = run_cli(*arguments, "--no-progress", "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["status"] == "failed"
    assert "damaged" in summary["reason"]
    assert run_cli("status", "--db", damaged_database).exit_code == 1
