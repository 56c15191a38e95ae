"""What only a process of its own shows: signals, pipes, terminals, the demo."""

from __future__ import annotations

import datetime as dt
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pyte
import pytest

from gsc_trio.dates import pacific_today
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    SimulatedProperty,
    record_simulated,
    write_cassette,
)
from tests.processes import running

SITE = "sc-domain:example.com"
GSC_TRIO = [sys.executable, "-m", "gsc_trio.cli"]

Serve = Callable[[FakeSearchConsole], str]


def gsc_trio(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*GSC_TRIO, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def started(*arguments: object) -> AbstractContextManager[subprocess.Popen[str]]:
    command = [*GSC_TRIO, *map(str, arguments)]
    return running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def slow_fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], latency=Latency(seconds_per_call=0.1)
    )


@pytest.mark.parametrize(
    ("concurrency", "number", "name"),
    [(1, signal.SIGINT, "SIGINT"), (3, signal.SIGTERM, "SIGTERM")],
)
def test_a_signal_interrupts_and_the_next_run_goes_on(
    concurrency: int, number: signal.Signals, name: str, serve: Serve, slow_fake: FakeSearchConsole
) -> None:
    arguments = (
        "backfill", SITE, "--db", "gsc.db", "--api-root", serve(slow_fake), "--days", 60, "--json",
        "--max-concurrency", concurrency, "--batch-size", 5,
    )  # fmt: skip
    with started(*arguments) as process:
        wait_until(lambda: len(slow_fake.calls) > 8)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130, stderr
    summary = json.loads(stdout)
    assert (summary["status"], summary["reason"]) == ("interrupted", f"interrupted by {name}")
    assert 0 < summary["days"] < 60
    assert f"{name}: stopping" in stderr
    assert "Traceback" not in stderr
    slow_fake.latency = Latency(scale=0)
    resumed = gsc_trio(*arguments)
    assert resumed.returncode == 0, resumed.stderr
    rest = json.loads(resumed.stdout)
    assert (rest["status"], rest["days"]) == ("complete", 60 - summary["days"])
    assert rest["requests"] == rest["pages"]


def test_a_second_signal_stops_at_once(serve: Serve, slow_fake: FakeSearchConsole) -> None:
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", serve(slow_fake), "--days", 60)
    with started(*arguments) as process:
        wait_until(lambda: len(slow_fake.calls) > 3)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stdout.startswith(f"interrupted: {SITE}")
    # How much of it was written until then is chance.
    assert ("the same command goes on from here" in stdout) == (", 0 pages" not in stdout)
    assert "Traceback" not in stderr


def test_a_reader_that_goes_away_is_no_error(serve: Serve, slow_fake: FakeSearchConsole) -> None:
    slow_fake.latency = Latency(scale=0)
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", serve(slow_fake), "--days", 2)
    with started(*arguments, "--no-progress") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(timeout=20) == 0
    assert stderr == ""


def test_a_terminal_sees_days_bars_and_counts(serve: Serve, slow_fake: FakeSearchConsole) -> None:
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", serve(slow_fake), "--days", 6)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    command = [*GSC_TRIO, *map(str, arguments)]
    seen = b""
    with (
        running(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process,
        open(ours, "rb", buffering=0) as terminal,
    ):
        os.close(theirs)
        while True:
            try:
                seen += terminal.read(4_096)
            except OSError:  # how Linux says that the other end is closed
                break
        stdout = process.stdout.read() if process.stdout else b""
    assert process.returncode == 0
    assert b"\x1b" not in stdout
    screen = pyte.Screen(80, 24)
    pyte.ByteStream(screen).feed(seen)
    shown = "\n".join(screen.display)
    assert shown.startswith(SITE)
    assert shown.count("■") == 6 + 1  # the days and the legend
    for words in ("Mon ", "■ committed 6", "6 of 6 days 100%", "━━━", "pages 6", "complete"):
        assert words in shown


def test_the_demo_checks_itself(tmp_path: Path) -> None:
    first = gsc_trio("demo", "--days", 31, "--latency-scale", 0)
    assert first.returncode == 0, first.stderr
    assert re.search(r"check: all [0-9,]+ rows are as the server holds them", first.stdout)
    assert re.search(r"31 days, 3[23] pages", first.stdout)  # a first of the month is among them
    assert "31 of 31 days" in first.stderr

    again = gsc_trio("demo", "--days", 31, "--latency-scale", 0)
    assert again.returncode == 0
    assert "nothing to fetch" in again.stdout
    assert "rows are as the server holds them" in again.stdout

    with closing(sqlite3.connect(tmp_path / "gsc-trio-demo.db")) as connection:
        connection.execute("UPDATE search_analytics_by_page_query SET clicks = 7 WHERE clicks = 8")
        connection.commit()
    tampered = gsc_trio("demo", "--days", 31, "--latency-scale", 0)
    assert tampered.returncode == 1
    assert "check: FAILED, " in tampered.stdout


def test_the_demo_keeps_out_of_databases_with_real_data(
    serve: Serve, slow_fake: FakeSearchConsole
) -> None:
    slow_fake.latency = Latency(scale=0)
    gsc_trio("backfill", SITE, "--db", "gsc.db", "--api-root", serve(slow_fake), "--days", 2)
    refused = gsc_trio("demo", "--db", "gsc.db", "--days", 1)
    assert refused.returncode == 2
    assert "holds other properties" in refused.stderr


def test_the_fake_server_says_its_address_first_and_ends_on_a_signal() -> None:
    with started("fake-server", "--port", 0, "--latency-scale", 0) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        result = gsc_trio("backfill", SITE, "--db", "gsc.db", "--api-root", address, "--days", 2)
        assert result.returncode == 0, result.stderr
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert address in stderr
    with closing(sqlite3.connect("gsc.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM searchdata_url_impression").fetchone()[0]


def test_the_fake_server_replays_a_cassette_and_says_how_to_fetch_it(tmp_path: Path) -> None:
    end = pacific_today() - dt.timedelta(days=10)
    simulated = SimulatedProperty(SITE, rows_per_day=20)
    cassette = record_simulated(simulated, start=end - dt.timedelta(days=4), end=end)
    write_cassette(cassette, tmp_path / "five-days.cassette")
    arguments = ("--port", 0, "--latency-scale", 0, "--cassette", tmp_path / "five-days.cassette")
    with started("fake-server", *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        assert cassette.description in process.stderr.readline()
        command = process.stderr.readline().split()
        assert command[:2] == ["gsc-trio", "backfill"]
        command[command.index("try.db")] = str(tmp_path / "five-days.db")
        done = gsc_trio(*command[1:], "--no-progress")
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "five-days.db")) as connection:
        (rows,) = connection.execute("SELECT COUNT(*) FROM searchdata_url_impression").fetchone()
    assert rows == cassette.rows


def test_the_fake_server_says_when_the_port_is_taken(
    serve: Serve, slow_fake: FakeSearchConsole
) -> None:
    result = gsc_trio("fake-server", "--port", serve(slow_fake).rpartition(":")[2])
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("gsc-trio: cannot listen on 127.0.0.1:")
    assert len(result.stderr.splitlines()) == 1
