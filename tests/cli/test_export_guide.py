"""The guide to exports shows what the commands print, and its Python runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.cli.conftest import SITE, RunCli
from tests.cli.guides import read_guide, session

GUIDE = read_guide("EXPORT")


def without_numbers(text: str) -> list[str]:
    """Lines without what depends on the day on which this runs: how many rows days have."""
    return re.sub(r"\d[\d,]* rows", "N rows", text).splitlines()


@pytest.fixture(autouse=True)
def google(api_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)


def test_the_session_of_the_guide_is_what_the_commands_print(run_cli: RunCli) -> None:
    steps = session(GUIDE)
    assert len(steps) == 8
    for command, output in steps:
        words = shlex.split(command.partition(" > ")[0])
        result = run_cli(*words[1:])
        if ">" not in command:
            assert without_numbers(result.stdout + result.stderr) == without_numbers(output)


def test_the_python_of_the_guide_runs(run_cli: RunCli) -> None:
    run_cli("backfill", SITE, "--db", "gsc.db", "--days", 30)
    run_cli("export", "parquet", "--db", "gsc.db")
    run_cli("export", "gsc.duckdb", "--db", "gsc.db")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 4
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks).replace("2026-09-01", "2020-01-01")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("clicks") >= 5
    assert re.search(r"^\d+ rows$", done.stdout, re.MULTILINE)


def test_every_export_of_the_table_works(run_cli: RunCli) -> None:
    run_cli("backfill", SITE, "--db", "gsc.db", "--days", 4)
    for command in re.findall(r"\| `gsc-trio (export [^`]+)` \|", GUIDE):
        assert run_cli(*shlex.split(command)).exit_code == 0
