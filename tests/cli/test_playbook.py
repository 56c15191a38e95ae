"""Every command of the playbook runs: blocks as they are printed, others as far as they are named.

A block of ``sh`` is run by bash against the fake, in a folder with a small ``gsc.db``, and prints
what is shown below it. What would take minutes is made smaller on the way, by a ``gsc-trio`` that
comes first on the path: fewer days, a fast fake, a free port. A block that reads ``gsc.db-lock``
finds a backfill under way, one that names ``GSC_DATABASE`` a Postgres database. What would serve
until it is stopped, as Prometheus, only reads its configuration.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from gsc_trio.cli import main
from gsc_trio.cli.commands import MODULES
from gsc_trio.rollout.template import success_metrics
from gsc_trio.testing import FakeSearchConsole, Latency, SimulatedProperty
from tests.cli.conftest import SITE, RunCli, Serve
from tests.cli.guides import assert_shown_lines_are_printed
from tests.cli.guides import blocks as commands_of
from tests.cli.test_processes import started, wait_until
from tests.processes import running

PROJECT = Path(__file__).parents[2]
PLAYBOOK = sorted((PROJECT / "playbook").glob("*.md"))

NOT_EVERYWHERE = {"curl", "jq", "prometheus", "promtool", "psql", "sqlite3"}
"""Programs that a machine may lack."""

SMALLER = f"""#!{sys.executable}
import socket, subprocess, sys

def option(name, value, *, only_if_given=False):
    if name in arguments:
        arguments[arguments.index(name) + 1] = value
    elif not only_if_given:
        arguments.extend([name, value])

arguments = sys.argv[1:]
if arguments[0] == "rollout":
    option("--days", "20")
    option("--baseline-days", "20", only_if_given=True)
    if "--against-fake" in arguments:
        option("--latency-scale", "0.02")
elif arguments[0] == "backfill":
    option("--days", "5")
with socket.create_server(("127.0.0.1", 0)) as free:
    option("--metrics-port", str(free.getsockname()[1]), only_if_given=True)
command = [sys.executable, "-m", "gsc_trio.cli", *arguments]
done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
print(done.stdout, end="")
failed = done.stdout.partition("FAILED: ")[2].partition("\\n")[0].split(", ")
# So small a run on a busy machine proves nothing about speed.
is_only_slow = done.returncode == 1 and all(name.endswith("/speed-up") for name in failed)
sys.exit(0 if is_only_slow else done.returncode)
"""

READ_CONFIGURATION = """#!/bin/bash
for argument; do
    case $argument in --config.file=*) exec promtool check config "${argument#*=}" ;; esac
done
exit 1
"""


def blocks() -> Iterator[object]:
    for path in PLAYBOOK:
        for number, block in enumerate(commands_of(path.read_text("utf-8"), "sh"), start=1):
            yield pytest.param(*block, id=f"{path.stem}-{number}")


def named_commands() -> Iterator[object]:
    """Commands in running text, in tables, and in blocks that are too long to run."""
    pattern = r"`((?:gsc-trio|make|python -m) [^`]+)`|^    ((?:make|python -m) .*)$"
    for path in PLAYBOOK:
        for match in re.finditer(pattern, path.read_text("utf-8"), re.MULTILINE):
            command = match[1] or match[2]
            yield pytest.param(command, id=f"{path.stem}: {command}")


@pytest.fixture
def surroundings(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fake to ask, and the smaller command first on the path."""
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], latency=Latency(seconds_per_call=0.01)
    )
    monkeypatch.setenv("GSC_TRIO_API_ROOT", serve(fake))
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "token")
    tmp_path.joinpath("playbook").symlink_to(PROJECT / "playbook")
    programs = {"gsc-trio": SMALLER}
    if shutil.which("promtool"):
        programs["prometheus"] = READ_CONFIGURATION
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        folder.joinpath(name).write_text(text)
        folder.joinpath(name).chmod(0o755)
    here = [str(folder), str(Path(sys.executable).parent)]
    monkeypatch.setenv("PATH", os.pathsep.join([*here, os.environ["PATH"]]))
    return tmp_path


@pytest.mark.parametrize(("block", "shown"), list(blocks()))
def test_a_block_runs(
    block: str,
    shown: str,
    surroundings: Path,
    run_cli: RunCli,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for program in NOT_EVERYWHERE.intersection(re.findall(r"[\w-]+", block)):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if "GSC_DATABASE" in block:
        monkeypatch.setenv("GSC_DATABASE", request.getfixturevalue("postgres_address"))
    if "kill -HUP" in block:
        Path("gsc-trio.toml").write_text("max_concurrency = 3\n")
        with_file = ("--days", 300, "--batch-size", 1, "--config", "gsc-trio.toml")
        with started("backfill", SITE, "--db", "gsc.db", *with_file) as process:
            wait_until(lambda: Path("gsc.db-lock").exists())
            with block_running(block):
                assert process.stderr is not None
                told = next(line for line in process.stderr if line.startswith("SIGHUP"))
        assert "max_concurrency 3 → 1" in told
        return
    if "gsc.db-lock" in block:
        arguments = ("--days", 300, "--batch-size", 1)
        with started("backfill", SITE, "--db", "gsc.db", *arguments) as process:
            wait_until(lambda: Path("gsc.db-lock").exists())
            with block_running(block):
                assert process.wait(timeout=10) == 130
        return
    if "gsc-trio rollout" not in block:
        run_cli("backfill", SITE, "--db", "gsc.db", "--days", 3)
    with block_running(block) as output:
        pass
    assert_shown_lines_are_printed(shown, "".join(output))


@contextmanager
def block_running(block: str) -> Iterator[list[str]]:
    """Run a block while the body runs; it must end, and well. What it printed is there then."""
    with running(
        ["bash", "-euo", "pipefail", "-c", block],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        output: list[str] = []
        yield output
        output.append(process.communicate(timeout=120)[0])
    assert process.returncode == 0, output[0]


@pytest.mark.parametrize("text", list(named_commands()))
def test_a_command_that_is_named_exists_with_its_options(text: str) -> None:
    program, *words = shlex.split(text, comments=True)
    options = {word.split("=")[0] for word in words if word.startswith("--")}
    if program == "make":
        targets = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program == "python":
        assert options <= options_in(PROJECT / words[1].replace(".", "/"))
    elif words[0] in MODULES:
        command = main.get_command(click.Context(main), words[0])
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.get_command(click.Context(command), words[1])
        assert command is not None
        known = {option for each in command.params for option in each.opts + each.secondary_opts}
        assert options <= known | {"--help"}
    else:
        assert words == ["COMMAND", "--help"]


def options_in(module: Path) -> set[str]:
    """The options that a module's package defines, whichever of its files does it."""
    assert module.with_suffix(".py").exists() or (module / "__main__.py").exists()
    package = PROJECT / module.relative_to(PROJECT).parts[0]
    sources = [path.read_text("utf-8") for path in package.rglob("*.py")]
    return {option for source in sources for option in re.findall(r"--[a-z][\w-]+", source)}


def test_the_success_metrics_of_the_playbook_are_the_gates() -> None:
    text = (PROJECT / "playbook" / "ROLLOUT.md").read_text("utf-8")
    assert text.split("## Success metrics\n")[1].endswith(f"\n\n{success_metrics()}\n")


def test_links_lead_somewhere() -> None:
    for path in PLAYBOOK:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), (path, target)
