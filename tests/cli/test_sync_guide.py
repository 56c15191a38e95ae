"""playbook/SYNC.md: its commands print what it says, but for numbers that depend on the day."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gsc_trio.cli import main
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.sync.targets import _KEYS
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty
from gsc_trio.verify.judge import DEFECTS, NO_DEFECTS
from tests.cli.conftest import SITE, Serve

GUIDE = (Path(__file__).parents[2] / "playbook" / "SYNC.md").read_text("utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```\n\n```text\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def without_rows(text: str) -> str:
    """How many rows a day has depends on the day."""
    return re.sub(r"[\d,]+ rows", "N rows", text)


def test_commands_print_what_the_guide_shows(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], last_final_day=last_final_day(pacific_today())
    )
    monkeypatch.setenv("GSC_TRIO_API_ROOT", serve(fake))
    program = tmp_path / "gsc-trio"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gsc_trio.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert len(BLOCKS) == 4
    for commands, expected in BLOCKS:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert without_rows(done.stdout) == without_rows(expected)


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
