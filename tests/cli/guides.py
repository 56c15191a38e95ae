"""Guides: what they show is what their commands print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLAYBOOK = Path(__file__).parents[2] / "playbook"


def read_guide(name: str) -> str:
    return (PLAYBOOK / f"{name}.md").read_text("utf-8")


def blocks(guide: str, language: str = "bash") -> Sequence[tuple[str, str]]:
    """Each block of commands, with what is shown below it, if anything is."""
    pattern = rf"^```{language}\n(.*?)^```(?:\n\n```text\n(.*?)^```)?"
    return re.findall(pattern, guide, re.DOTALL | re.MULTILINE)


def session(guide: str) -> Sequence[tuple[str, str]]:
    """Each command of a session at a terminal, with what it prints there."""
    (console,) = re.findall(r"```console\n(.*?)```", guide, re.DOTALL)
    steps = [step.partition("\n") for step in console.removeprefix("$ ").split("\n$ ")]
    return [(command, output) for command, _, output in steps]


def printed(commands: str) -> str:
    """What bash prints for a block of commands, which must end well."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_shown_lines_are_printed(shown: str, output: str) -> None:
    """Each line of a guide is among those that were printed, whatever the numbers are in both.

    A guide leaves out what it puts "…" for.
    """
    lines = [_without_numbers(line) for line in output.splitlines()]
    for line in shown.splitlines():
        pattern = ".*".join(map(re.escape, _without_numbers(line).split("…")))
        assert any(re.fullmatch(pattern, each) for each in lines), f"{line!r} is not in:\n{output}"


def _without_numbers(line: str) -> str:
    """Dates, times, counts and the width of columns depend on the day and on what is fetched."""
    line = re.sub(r"[-\d,.:]*\d[-\d,.:]*", "N", line)
    return re.sub(r"[\s─]+", " ", line).strip()
