"""playbook/SYNC.md: its commands print what it says, but for numbers that depend on the day."""

from __future__ import annotations

import re

import click
import pytest

from gsc_trio.cli import main
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.sync.targets import _KEYS
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty
from gsc_trio.verify.judge import DEFECTS, NO_DEFECTS
from tests.cli.conftest import SITE, Serve
from tests.cli.guides import blocks, printed, read_guide

GUIDE = read_guide("SYNC")


def without_rows(text: str) -> str:
    """How many rows a day has depends on the day."""
    return re.sub(r"[\d,]+ rows", "N rows", text)


def test_commands_print_what_the_guide_shows(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], last_final_day=last_final_day(pacific_today())
    )
    monkeypatch.setenv("GSC_TRIO_API_ROOT", serve(fake))
    shown = blocks(GUIDE)
    assert len(shown) == 4
    for commands, expected in shown:
        assert without_rows(printed(commands)) == without_rows(expected)


def test_the_commands_of_timers_have_only_options_that_there_are() -> None:
    command = main.get_command(click.Context(main), "sync")
    assert command is not None
    known = {option for each in command.params for option in each.opts + each.secondary_opts}
    lines = re.findall(r"gsc-trio (sync .*?)(?:>|$)", GUIDE, re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        assert set(re.findall(r"--[\w-]+", line)) <= known


def test_keys_and_verdicts_are_those_of_the_code() -> None:
    keys = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`[^|]*)\|", GUIDE, re.MULTILINE)))
    assert set(keys) == set(_KEYS)
    rows = dict(re.findall(r"^\| ([a-z ]+) \| [^|]+ \| (yes|no) \|$", GUIDE, re.MULTILINE))
    assert rows == {**dict.fromkeys(DEFECTS, "yes"), **dict.fromkeys(NO_DEFECTS, "no")}
