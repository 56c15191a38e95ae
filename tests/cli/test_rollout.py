"""``gsc-trio rollout`` as a user meets it: a rehearsal, wrong input, a question, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from gsc_trio.rollout.gates import GATES
from gsc_trio.rollout.plan import STAGES
from gsc_trio.store.lock import lock_database
from gsc_trio.testing import FakeSearchConsole
from tests.cli.conftest import SITE, RunCli, Serve
from tests.cli.test_processes import GSC_TRIO, gsc_trio, started
from tests.processes import running

REHEARSAL = ("rollout", SITE, "--db", "gsc.db", "--against-fake", "--days", 24)
FOLDER = Path("gsc.db.rollout")


def test_a_rehearsal_over_a_socket(
    run_cli: RunCli, api_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "ya29.secret")
    watched = ("--log-format", "json", "--metrics-port", 0)
    done = gsc_trio(*REHEARSAL, "--latency-scale", 0.2, "--json", *watched)
    findings = json.loads(done.stdout)
    # How fast it is depends on what else the machine does; nothing else may fail.
    failed = findings["failed"]
    assert {name.split("/")[1] for name in failed} <= {"speed-up"}
    assert done.returncode == bool(failed)
    assert "with latency scale 0.2" in done.stderr
    log = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("metrics are at http://127.0.0.1:" in str(line) for line in log)
    assert findings["latency_scale"] == 0.2
    assert [check["is_good"] for check in findings["preflight"]] == [True] * 7
    runs = [run["stage"] for run in findings["runs"]]
    assert runs == [stage.name for stage in STAGES][: len(runs)]
    assert all(run["days"] == 24 and run["status"] == "complete" for run in findings["runs"])
    report = (FOLDER / "report.md").read_text()
    if not failed:
        assert runs[-1] == "drill"
        assert findings["status"] == "passed"
        assert {gate["verdict"] for gate in findings["gates"]} == {"passed"}
        assert 0 < findings["drill"]["halt_seconds"] <= 5
        assert "It was a rehearsal: now run it without `--against-fake`." in report
    page = (FOLDER / "report.html").read_text()
    for gate in GATES:
        assert gate.name in report
        assert gate.name in page
    assert not re.search(r"(src|href)=|<script|url\(", page)
    for path in [Path("gsc.db"), *FOLDER.iterdir()]:
        assert b"ya29" not in path.read_bytes()
    assert "ya29" not in done.stdout + done.stderr
    # A second one mixes nothing, and spends nothing.
    again = run_cli(*REHEARSAL)
    assert again.exit_code == 2
    assert "gsc.db.rollout is there from an earlier rollout: --fresh removes it" in again.stderr
    fresh = run_cli("rollout", SITE, "--db", "gsc.db", "--fresh", "--api-root", api_root)
    assert fresh.exit_code == 1
    assert fresh.stdout.startswith("FAILED: preflight/database\n")
    assert (FOLDER / "report.md").read_text() == report


def test_ctrl_c_leaves_valid_databases_and_says_what_was_done() -> None:
    with started(*REHEARSAL, "--latency-scale", 1) as process:
        assert process.stderr is not None
        assert any(line.startswith("Stage 1") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert stdout.startswith("interrupted by SIGINT; complete: nothing\n")
    assert "To repeat the rollout, run the same command with `--fresh`." in stdout
    assert "`gsc.db.rollout/baseline.db` holds " in stdout
    assert gsc_trio("status", "--db", FOLDER / "baseline.db").returncode == 0
    assert "interrupted by SIGINT" in (FOLDER / "report.html").read_text()
    assert not list(Path.cwd().rglob("*-lock"))
    assert not list(Path.cwd().rglob("*-wal"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--days", 19], "a rollout of 19 days shows nothing: use 20 or more"),
        (["--days", 9_999], "--days is 9,999: use 1 to "),
        (["--baseline-days", 5], "a baseline of 5 days: use 20 to 150"),
        (["--db", "missing/gsc.db"], "the folder of missing/gsc.db does not exist"),
        (["--dimensions", "pages"], "unknown dimension 'pages'"),
        (["--batch-size", 0], "--batch-size is 0: use a whole number from 1 to 1,000"),
        (["--max-concurrency", 4], "No such option '--max-concurrency'"),
    ],
)
def test_wrong_input_is_told_in_a_line_and_changes_nothing(
    run_cli: RunCli, arguments: list[object], words: str
) -> None:
    result = run_cli("rollout", SITE, "--db", "gsc.db", "--against-fake", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(Path.cwd().iterdir()) == []


def test_google_is_not_asked_without_a_token(run_cli: RunCli) -> None:
    result = run_cli("rollout", SITE, "--db", "gsc.db")
    assert result.exit_code == 2
    assert "not signed in: run `gsc-trio login --client FILE`" in result.stderr


def test_the_latency_scale_is_the_fakes(run_cli: RunCli, api_root: str) -> None:
    result = run_cli("rollout", SITE, "--db", "x.db", "--api-root", api_root, "--latency-scale", 1)
    assert result.exit_code == 2
    assert "give --against-fake, too" in result.stderr


def test_a_preflight_that_fails_spends_no_query_and_leaves_nothing(
    run_cli: RunCli, fake: FakeSearchConsole, api_root: str
) -> None:
    arguments = ("--api-root", api_root, "--queries-per-minute", 5_000)
    result = run_cli("rollout", SITE, "--db", "gsc.db", *arguments)
    assert result.exit_code == 1
    assert result.stdout.startswith("FAILED: preflight/quota\n")
    assert "queries_per_minute is 5,000, and Google allows 1,200: lower it" in result.stdout
    assert "627 queries if each day fits on one page, at most about 1,827" in result.stderr
    assert fake.http_requests == 0
    assert list(Path.cwd().iterdir()) == []


def test_a_folder_with_other_things_in_it_is_never_removed(run_cli: RunCli, api_root: str) -> None:
    FOLDER.mkdir()
    for name in ("baseline.db", "thesis.txt"):
        (FOLDER / name).touch()
    result = run_cli("rollout", SITE, "--db", "gsc.db", "--api-root", api_root, "--fresh")
    assert result.exit_code == 2
    assert "holds thesis.txt, which no rollout has put there" in result.stderr
    assert sorted(path.name for path in FOLDER.iterdir()) == ["baseline.db", "thesis.txt"]


def test_two_rollouts_do_not_share_a_folder(
    run_cli: RunCli, fake: FakeSearchConsole, api_root: str
) -> None:
    FOLDER.mkdir()
    lock = lock_database(FOLDER)
    result = run_cli("rollout", SITE, "--db", "gsc.db", "--api-root", api_root, "--fresh")
    lock.release()
    assert result.exit_code == 1
    assert f"gsc.db.rollout is in use by process {os.getpid()}" in result.stderr
    assert FOLDER.is_dir()
    assert fake.http_requests == 0


@pytest.mark.parametrize("answer", ["n", "y"])
def test_on_a_terminal_it_asks_before_it_spends(
    serve: Serve, fake: FakeSearchConsole, answer: str
) -> None:
    ours, theirs = pty.openpty()
    # What fails in the preflight ends it early when the answer is yes.
    arguments = ("rollout", SITE, "--db", "gsc.db", "--api-root", serve(fake))
    with running(
        [*GSC_TRIO, *arguments, "--max-in-flight", "1"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        stdout, stderr = process.communicate(timeout=20)
    os.close(ours)
    assert "Spend them? [y/N]" in stderr
    assert process.returncode == {"n": 130, "y": 1}[answer]
    assert stdout.startswith("FAILED: preflight/settings") == (answer == "y")
    assert fake.http_requests == 0
