"""``enqueue``, ``workers`` and ``shards`` as someone meets them, with wrong input first."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import SITE, RunCli

TABLE = f'[[sync]]\nsites = ["{SITE}"]\n'


@pytest.fixture
def config() -> Path:
    path = Path("gsc-trio.toml")
    path.write_text(f'{TABLE}account = "north"\n')
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("enqueue", "--db", "gsc.db"), "--db is 'gsc.db': shards need Postgres, as postgresql"),
        (("shards", "--db", "gsc.db"), "for a SQLite file there is `gsc-trio sync`"),
        (("shards", "--db", "postgresql://[x"), "the database's address cannot be understood"),
        (("enqueue", "west", "--db", "postgresql:///gsc"), "no shard is called 'west': there are"),
        (("workers", "start", "--db", "postgresql:///gsc"), "no account is called 'north'"),
        (("workers", "start"), "Missing option '--db'"),
        (
            ("workers", "start", "--db", "postgresql:///gsc", "--metrics-host", "::1"),
            "--metrics-host needs --metrics-port",
        ),
        (("workers", "begin"), "No such command 'begin'"),
        (("workers", "start", "--db", "postgresql:///gsc", "--shards", "0"), "not in the range"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(
    arguments: tuple[str, ...], message: str, config: Path, run_cli: RunCli
) -> None:
    has_config = arguments[0] != "shards" and "--db" in arguments
    result = run_cli(*arguments, *(("--config", config) if has_config else ()))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_without_a_command_of_the_group_there_is_its_help(run_cli: RunCli) -> None:
    result = run_cli("workers")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == run_cli("workers", "--help").stdout


@pytest.mark.parametrize("command", [("enqueue",), ("workers", "start")])
def test_without_a_settings_file_there_are_no_shards(
    command: tuple[str, ...], run_cli: RunCli
) -> None:
    result = run_cli(*command, "--db", "postgresql:///gsc")
    assert result.exit_code == 2
    assert "no shards: list properties and their accounts in [[sync]] tables" in result.stderr


@pytest.mark.parametrize("command", [("enqueue",), ("workers", "start"), ("shards",)])
def test_a_server_that_is_not_there_is_told_in_a_line(
    command: tuple[str, ...], run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("gsc-trio.toml").write_text(TABLE)
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "token")
    if command != ("shards",):
        monkeypatch.setenv("GSC_TRIO_CONFIG", "gsc-trio.toml")
    result = run_cli(*command, "--db", "postgresql://me:secret@127.0.0.1:1/gsc")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("gsc-trio: cannot open postgresql://me@127.0.0.1:1/gsc: ")
    assert "secret" not in result.stderr


def test_without_the_extra_a_line_says_what_to_install(tmp_path: Path, config: Path) -> None:
    tmp_path.joinpath("procrastinate.py").write_text("raise ImportError('not here')\n")
    for command in (["enqueue"], ["shards"]):
        arguments = [*command, "--db", "postgresql:///gsc"]
        arguments += ["--config", str(config)] if command == ["enqueue"] else []
        done = subprocess.run(
            [sys.executable, "-m", "gsc_trio.cli", *arguments],
            env={"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert f"gsc-trio {command[0]} needs procrastinate" in done.stderr
        assert "pip install 'gsc-trio[workers]'" in done.stderr


def test_nothing_of_the_extra_is_loaded_by_other_commands() -> None:
    script = (
        "import sys, gsc_trio, gsc_trio.cli.sync, gsc_trio.cli.backfill, gsc_trio.cli.workers, "
        "gsc_trio.cli.enqueue, gsc_trio.cli.shards; "
        "print(sorted({'procrastinate', 'psycopg', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "procrastinate" not in done.stdout
    assert "psycopg" not in done.stdout


def test_queue_work_look(
    postgres_address: str, api_root: str, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "token")
    Path("gsc-trio.toml").write_text(f"{TABLE}days = 3\n")
    database = ("--db", postgres_address)
    shared = (*database, "--config", "gsc-trio.toml")
    nothing = run_cli("shards", *database).stdout
    assert nothing.endswith("has no shards yet: `gsc-trio enqueue` queues some\n")
    assert json.loads(run_cli("shards", *database, "--json").stdout) == []
    assert run_cli("enqueue", *shared).stdout == "queued: default (1 property)\n"
    assert run_cli("enqueue", *shared).stdout == "queued before: default (1 property)\n"
    options = ("--until-idle", "--name", "here", "--metrics-port", "0")
    done = run_cli("workers", "start", *shared, *options)
    assert done.exit_code == 0
    assert done.stderr.startswith("metrics are at http://127.0.0.1:")
    assert "shard default: begun, token 1" in done.stderr
    assert "shard default: complete: 3 days, " in done.stderr
    header, line = run_cli("shards", *database).stdout.splitlines()
    assert header.split()[:4] == ["shard", "state", "worker", "token"]
    assert line.split()[:4] == ["default", "complete", "here", "1"]
    [told] = json.loads(run_cli("shards", *database, "--json").stdout)
    assert (told["targets_done"], told["days"], told["queries"]) == (1, 3, 3)
    assert run_cli("enqueue", *shared, "--json").stdout == '{"default": "queued"}\n'


def test_a_property_that_may_not_be_seen_fails_its_shard_and_says_so(
    postgres_address: str, api_root: str, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "token")
    Path("gsc-trio.toml").write_text(
        f'{TABLE}days = 3\n[[sync]]\nsites = ["sc-domain:other.example"]\ndays = 3\n'
    )
    shared = ("--db", postgres_address, "--config", "gsc-trio.toml")
    run_cli("enqueue", *shared)
    done = run_cli("workers", "start", *shared, "--until-idle")
    assert done.exit_code == 0
    told = run_cli("shards", "--db", postgres_address).stdout
    assert "1/2" in told
    assert "default: 1 of 2 failed, the first of them sc-domain:other.example: " in told
    assert "sufficient permission" in told


def test_a_shard_that_is_not_in_this_machines_file_is_told_as_failed(
    postgres_address: str, api_root: str, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "token")
    Path("theirs.toml").write_text(f'{TABLE}account = "north"\n')
    Path("ours.toml").write_text(f'{TABLE}account = "south"\n')
    run_cli("enqueue", "--db", postgres_address, "--config", "theirs.toml")
    shared = ("--db", postgres_address, "--config", "ours.toml")
    assert run_cli("workers", "start", *shared, "--until-idle").exit_code == 0
    told = run_cli("shards", "--db", postgres_address).stdout
    assert "north: it is not in the settings file of this machine" in told
