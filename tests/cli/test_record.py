"""``backfill --record`` as a user sees it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.store.dump import comparable_dump
from gsc_trio.testing import (
    FakeSearchConsole,
    Fault,
    Refuse,
    SimulatedProperty,
    read_cassette,
    recorded_properties,
)
from tests.cli.conftest import SITE, RunCli, Serve


def test_a_run_is_recorded_replayed_and_recorded_again(
    run_cli: RunCli, serve: Serve, api_root: str
) -> None:
    options = ("--days", 9, "--db", "live.db", "--record", "live.cassette", "--json")
    live = run_cli("backfill", SITE, "--api-root", api_root, *options)
    assert live.exit_code == 0
    assert len(live.stdout.splitlines()) == 1
    assert live.stderr.endswith("recorded 9 answers in live.cassette\n")
    replaying = serve(FakeSearchConsole(recorded_properties(read_cassette("live.cassette"))))
    options = ("--days", 9, "--db", "again.db", "--record", "again.cassette", "--json")
    again = run_cli("backfill", SITE, "--api-root", replaying, *options, "--batch-size", 1)
    assert again.exit_code == 0
    assert comparable_dump(Path("again.db")) == comparable_dump(Path("live.db"))
    assert Path("again.cassette").read_bytes() == Path("live.cassette").read_bytes()


def test_a_run_that_fails_keeps_the_days_before_that(run_cli: RunCli, serve: Serve) -> None:
    refused = last_final_day(pacific_today()) - dt.timedelta(days=6)
    fault = Fault(Refuse(400, "badRequest"), times=None, data_date=refused)
    api_root = serve(FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=9)], faults=[fault]))
    options = ("--db", "gsc.db", "--record", "run.cassette", "--profile", "sequential")
    result = run_cli(
        "backfill", SITE, "--api-root", api_root, "--days", 9, *options, "--batch-size", 1
    )
    assert result.exit_code == 1
    assert "recorded 6 answers in run.cassette" in result.stderr
    assert len(read_cassette("run.cassette").answers) == 6


def test_a_run_that_fetches_nothing_leaves_no_file(run_cli: RunCli, api_root: str) -> None:
    command = ("backfill", SITE, "--api-root", api_root, "--days", 2, "--db", "gsc.db")
    run_cli(*command)
    result = run_cli(*command, "--record", "run.cassette")
    assert result.exit_code == 0
    assert "nothing was fetched, so there is nothing to record in run.cassette" in result.stderr
    assert not Path("run.cassette").exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("there.cassette", "cannot write the cassette there.cassette: it exists"),
        ("nowhere/run.cassette", "cannot write the cassette nowhere/run.cassette: No such file"),
        ("gsc.db", "--record and --db are the same file"),
        ("", "cannot write the cassette .: it exists"),
    ],
)
def test_a_file_that_cannot_be_is_refused_and_nothing_is_changed(
    run_cli: RunCli, api_root: str, fake: FakeSearchConsole, path: str, words: str
) -> None:
    Path("there.cassette").write_text("precious")
    options = ("--api-root", api_root, "--db", "gsc.db", "--record", path)
    result = run_cli("backfill", SITE, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert Path("there.cassette").read_text() == "precious"
    assert not Path("gsc.db").exists()
    assert fake.calls == []
