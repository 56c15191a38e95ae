"""Two runs, one database."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from gsc_trio.store.lock import lock_database
from tests.cli.conftest import SITE, RunCli
from tests.cli.test_processes import started

DATABASE = Path("gsc.db")


def test_the_second_run_is_refused_in_one_line_that_names_the_first(
    run_cli: RunCli, api_root: str
) -> None:
    lock = lock_database(DATABASE)
    refused = run_cli("backfill", SITE, "--db", DATABASE, "--api-root", api_root, "--days", 2)
    lock.release()
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("gsc-trio: gsc.db is in use by process ")
    assert refused.stderr.endswith("let that end first, or use --wait\n")
    assert len(refused.stderr.splitlines()) == 1
    assert not DATABASE.exists()


def started_run(api_root: str) -> AbstractContextManager[subprocess.Popen[str]]:
    arguments = ("backfill", SITE, "--db", DATABASE, "--api-root", api_root, "--days", 2)
    return started(*arguments, "--wait", "--json")


def test_a_run_that_waits_goes_on_when_the_first_has_ended(api_root: str) -> None:
    lock = lock_database(DATABASE)
    with started_run(api_root) as process:
        assert process.stderr is not None
        assert process.stderr.readline().endswith("let that end first; waiting for it\n")
        lock.release()
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["days"] == 2


def test_a_run_that_waits_can_be_interrupted(api_root: str) -> None:
    lock = lock_database(DATABASE)
    with started_run(api_root) as process:
        assert process.stderr is not None
        assert "waiting for it" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    lock.release()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["status"] == "interrupted"
    assert not DATABASE.exists()
