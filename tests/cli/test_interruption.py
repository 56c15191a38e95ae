"""A run that is stopped from outside ends soon, says so, and goes on exactly there."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from gsc_trio.testing import FakeSearchConsole, Latency, SimulatedProperty
from tests.cli.conftest import SITE, Serve
from tests.cli.test_processes import GSC_TRIO, gsc_trio, wait_until
from tests.processes import after, running

HALT_SECONDS = 5.0
DAYS = 40


@pytest.fixture
def slow_fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], latency=Latency(seconds_per_call=0.1)
    )


def backfill(api_root: str, *more: str) -> list[str]:
    arguments = ["backfill", SITE, "--db", "gsc.db", "--api-root", api_root, "--days", str(DAYS)]
    return [*GSC_TRIO, *arguments, "--batch-size", "5", *more]


def assert_goes_on_and_completes(api_root: str, fake: FakeSearchConsole) -> None:
    """What was committed is not asked for again, and everything is there in the end."""
    [before] = json.loads(gsc_trio("status", "--db", "gsc.db", "--json").stdout)
    assert 0 < before["days_complete"] < DAYS
    fake.latency = Latency(scale=0)
    rest = subprocess.run(
        backfill(api_root, "--json"), capture_output=True, text=True, check=True, timeout=60
    )
    summary = json.loads(rest.stdout)
    assert (summary["status"], summary["days"]) == ("complete", DAYS - before["days_complete"])
    assert summary["requests"] == summary["pages"]


@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_a_closed_terminal_interrupts(
    serve: Serve, slow_fake: FakeSearchConsole, concurrency: str
) -> None:
    api_root = serve(slow_fake)
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", *backfill(api_root, "--max-concurrency", concurrency)]
    environment = {**os.environ, "TERM": "xterm"}
    with running(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        wait_until(lambda: len(slow_fake.calls) > 8)
        os.close(ours)  # the kernel hangs up: SIGHUP, and every write fails from now on
        assert process.wait(timeout=HALT_SECONDS) == 130
    assert_goes_on_and_completes(api_root, slow_fake)


def test_nohup_is_respected(serve: Serve, slow_fake: FakeSearchConsole) -> None:
    slow_fake.latency = Latency(seconds_per_call=0.02)
    command = after("trap '' HUP", backfill(serve(slow_fake), "--json"))
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: len(slow_fake.calls) > 8)
        process.send_signal(signal.SIGHUP)
        stdout, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(stdout)["status"] == "complete"


@pytest.mark.parametrize(
    ("signals", "concurrency"),
    [
        ([signal.SIGINT], "1"),
        ([signal.SIGTERM], "3"),
        ([signal.SIGINT], "10"),
        ([signal.SIGINT, signal.SIGINT], "3"),
    ],
)
def test_a_run_ends_within_five_seconds_of_a_signal_while_answers_are_out(
    serve: Serve, slow_fake: FakeSearchConsole, signals: list[signal.Signals], concurrency: str
) -> None:
    slow_fake.latency = Latency(seconds_per_call=0.05)
    api_root = serve(slow_fake)
    command = backfill(api_root, "--json", "--max-concurrency", concurrency)
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(slow_fake.calls) > 4 + 2 * int(concurrency))
        slow_fake.latency = Latency(seconds_per_call=60)
        began = time.monotonic()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        stdout, stderr = process.communicate(timeout=20)
    assert time.monotonic() - began < HALT_SECONDS
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert json.loads(stdout)["status"] == "interrupted"
    assert_goes_on_and_completes(api_root, slow_fake)


def test_nobody_reads_what_it_says(serve: Serve, slow_fake: FakeSearchConsole) -> None:
    """``gsc-trio backfill … 2>&1 | head -1`` goes on to its end."""
    slow_fake.latency = Latency(seconds_per_call=0.02)
    command = backfill(serve(slow_fake))
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_until(lambda: len(slow_fake.calls) > 3)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=20) == 0
    [stored] = json.loads(gsc_trio("status", "--db", "gsc.db", "--json").stdout)
    assert stored["days_complete"] == DAYS


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_stream_that_was_closed_before_the_start_is_no_error(
    serve: Serve, slow_fake: FakeSearchConsole, closed: str
) -> None:
    slow_fake.latency = Latency(scale=0)
    process = subprocess.run(
        after(f"exec {closed}>&-", backfill(serve(slow_fake))),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == 0
    assert b"Traceback" not in process.stderr


def test_a_result_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*GSC_TRIO, "--version"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert result.returncode != 0


def test_a_database_that_is_removed_in_mid_run_is_not_said_to_be_kept(
    serve: Serve, slow_fake: FakeSearchConsole
) -> None:
    command = backfill(serve(slow_fake), "--no-progress")
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: len(slow_fake.calls) > 8)
        Path("gsc.db").unlink()
        stdout, _ = process.communicate(timeout=HALT_SECONDS)
    assert process.returncode == 1
    assert "gsc.db was removed or replaced while it was in use" in stdout
    assert "what was fetched is kept" not in stdout


@pytest.mark.parametrize("concurrency", ["1", "3"])
def test_a_disk_that_takes_no_more_ends_a_run_in_one_line_and_the_next_goes_on(
    serve: Serve, slow_fake: FakeSearchConsole, concurrency: str
) -> None:
    # Pages come one after another, so that some are committed before the disk is full.
    slow_fake.latency = Latency(seconds_per_call=0.02)
    slow_fake.properties = [SimulatedProperty(SITE, rows_per_day=200)]
    slow_fake.__attrs_post_init__()
    api_root = serve(slow_fake)
    command = backfill(api_root, "--no-progress", "--max-concurrency", concurrency)
    failed = subprocess.run(
        after("trap '' XFSZ; ulimit -f 782", command),  # blocks of 512 bytes, as POSIX has it
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert failed.returncode == 1
    assert failed.stdout.startswith("failed: ")
    assert "cannot write gsc.db: " in failed.stdout
    assert "the same command goes on from here" in failed.stdout
    assert "Traceback" not in failed.stderr
    assert_goes_on_and_completes(api_root, slow_fake)
