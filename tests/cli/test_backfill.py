from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import Result

from gsc_trio.store.dump import comparable_dump
from gsc_trio.summary import RunSummary
from gsc_trio.testing import CutOff, FakeSearchConsole, Fault, Quota, Refuse, SimulatedProperty

SITE = "sc-domain:example.com"

RunCli = Callable[..., Result]
Serve = Callable[[FakeSearchConsole], str]
Backfill = Callable[..., Result]


@pytest.fixture
def backfill(run_cli: RunCli, api_root: str) -> Backfill:
    """Run ``gsc-trio backfill SITE`` against `fake` into gsc.db."""

    def run(*arguments: object, site: str = SITE) -> Result:
        return run_cli("backfill", site, "--db", "gsc.db", "--api-root", api_root, *arguments)

    return run


def the_json(result: Result) -> dict[str, Any]:
    assert len(result.stdout.splitlines()) == 1
    value = json.loads(result.stdout)
    assert list(value) == [field.name for field in attrs.fields(RunSummary)]
    assert isinstance(value, dict)
    return value


def test_a_range_of_days_lands_in_the_database(backfill: Backfill, fake: FakeSearchConsole) -> None:
    result = backfill("--days", 10, "--json")
    assert result.exit_code == 0, result.output
    summary = the_json(result)
    assert (summary["status"], summary["reason"], summary["site"]) == ("complete", "", SITE)
    assert (summary["days"], summary["pages"], summary["requests"]) == (10, 10, len(fake.calls))
    with closing(sqlite3.connect("gsc.db")) as connection:
        (rows,) = connection.execute("SELECT COUNT(*) FROM searchdata_url_impression").fetchone()
    assert rows == summary["rows"] > 0


def test_a_second_run_asks_for_nothing(backfill: Backfill, fake: FakeSearchConsole) -> None:
    backfill("--days", 5)
    calls = len(fake.calls)
    summary = the_json(backfill("--days", 5, "--json"))
    assert (summary["status"], summary["requests"], summary["days"]) == ("complete", 0, 0)
    assert len(fake.calls) == calls
    assert "nothing to fetch" in backfill("--days", 5).stdout


def test_a_longer_range_asks_only_for_what_is_missing(
    backfill: Backfill, fake: FakeSearchConsole
) -> None:
    backfill("--days", 5)
    assert the_json(backfill("--days", 8, "--json"))["requests"] == 3


def test_without_a_range_all_16_months_are_fetched(backfill: Backfill) -> None:
    summary = the_json(backfill("--dimensions", "date", "--batch-size", 500, "--json"))
    assert summary["days"] > 480
    assert summary["status"] == "complete"


def test_the_summary_for_people_says_what_came_and_what_to_do_next(backfill: Backfill) -> None:
    result = backfill("--days", 3)
    assert result.stdout.startswith(f"complete: {SITE}, ")
    for text in ("3 days, 3 pages", "rows/s", "in any 60 s", "database: gsc.db"):
        assert text in result.stdout
    words = [shlex.split(line) for line in result.stdout.splitlines() if "sqlite3" in line]
    assert len(words) == 2
    with closing(sqlite3.connect("gsc.db")) as connection:
        for program, style, database, sql in words:
            assert (program, style, database) == ("sqlite3", "-box", "gsc.db")
            assert connection.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("search_type", "dimensions"),
    [
        ("web", "page,query,country,device"),
        ("web", "query"),
        ("web", "searchAppearance"),
        ("web", "date"),
        ("discover", "page,country"),
        ("googleNews", "page"),
    ],
)
def test_the_sql_that_is_suggested_finds_what_was_fetched(
    search_type: str, dimensions: str, backfill: Backfill
) -> None:
    result = backfill("--days", 2, "--search-type", search_type, "--dimensions", dimensions)
    lines = [line for line in result.stdout.splitlines() if "sqlite3" in line]
    assert lines
    with closing(sqlite3.connect("gsc.db")) as connection:
        for line in lines:
            assert connection.execute(shlex.split(line)[-1]).fetchall()


def test_a_property_with_an_apostrophe_is_quoted(run_cli: RunCli, serve: Serve) -> None:
    site = "https://example.com/l'été/"
    fake = FakeSearchConsole([SimulatedProperty(site, rows_per_day=5)])
    arguments = ("--db", "it's.db", "--api-root", serve(fake), "--days", 2)
    result = run_cli("backfill", site, *arguments)
    assert result.exit_code == 0, result.stderr
    line = result.stdout.splitlines()[-1]
    _, _, database, sql = shlex.split(line)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute(sql).fetchall()


def test_one_worker_and_three_give_the_same_database(
    serve: Serve, run_cli: RunCli, tmp_path: Path
) -> None:
    simulated = SimulatedProperty(SITE, rows_per_day=60)
    dumps = []
    for concurrency in (1, 3):
        address = serve(FakeSearchConsole([simulated], part_order="shuffled"))
        database = tmp_path / f"{concurrency}.db"
        result = run_cli(
            "backfill", SITE, "--days", 40, "--db", database, "--api-root", address,
            "--max-concurrency", concurrency, "--batch-size", 7,
        )  # fmt: skip
        assert result.exit_code == 0
        dumps.append(comparable_dump(database))
    assert dumps[0] == dumps[1]


def test_a_refusal_fails_with_googles_words(run_cli: RunCli, api_root: str) -> None:
    options = ("--db", "gsc.db", "--api-root", api_root, "--days", 3)
    assert run_cli("backfill", SITE, *options).exit_code == 0
    arguments = ("backfill", "sc-domain:other.example", *options)
    result = run_cli(*arguments, "--json")
    assert result.exit_code == 1
    summary = the_json(result)
    assert summary["status"] == "failed"
    assert "does not have sufficient permission" in summary["reason"]
    assert "sc-domain:other.example" in summary["reason"]
    text = run_cli(*arguments).stdout
    assert text.startswith("failed: sc-domain:other.example")
    assert "does not have sufficient permission" in text


@pytest.mark.parametrize("command", ["backfill", "sync", "backfill --sites"])
def test_nothing_is_left_of_a_property_that_the_account_cannot_see(
    command: str, run_cli: RunCli, serve: Serve
) -> None:
    fake = FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=3)])
    Path("sites.txt").write_text("sc-domain:exampel.com\nhttps://www.exampel.com/\n")
    named = "sites.txt" if command.endswith("--sites") else "sc-domain:exampel.com"
    before = set(Path().iterdir())
    arguments = ("--db", "gsc.db", "--api-root", serve(fake), "--no-progress")
    result = run_cli(*command.split(), named, *arguments)
    assert result.exit_code == 1
    assert f"what it can see: {SITE}" in result.stderr
    assert fake.calls == []
    assert set(Path().iterdir()) == before


def test_a_server_that_is_not_there_fails(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSC_TRIO_RETRY_BUDGET", "0")
    result = run_cli(
        "backfill",
        SITE,
        "--db",
        "gsc.db",
        "--api-root",
        "http://127.0.0.1:1",
        "--days",
        3,
        "--json",
    )
    assert result.exit_code == 1
    assert the_json(result)["status"] == "failed"


def test_a_halt_is_told_with_its_reason(
    run_cli: RunCli, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_TRIO_EMPTY_RESULT_LIMIT", "4")
    address = serve(FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=0)]))
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", address, "--days", 30)
    result = run_cli(*arguments, "--json", "--batch-size", 2)
    assert result.exit_code == 1
    summary = the_json(result)
    assert summary["status"] == "halted"
    assert "empty_result_limit" in summary["reason"]


def test_faults_are_counted_and_told(
    run_cli: RunCli, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSC_TRIO_RETRY_INITIAL_SECONDS", "0.01")
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=5)],
        faults=[Fault(CutOff(), whole_request=True), Fault(Refuse(503), whole_request=True)],
    )
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", serve(fake), "--days", 20)
    result = run_cli(*arguments, "--json", "--max-concurrency", 1)
    summary = the_json(result)
    assert summary["status"] == "complete"
    assert summary["retries"] > 0
    assert "failed, to be asked again: " in result.stderr


def test_plain_progress_goes_to_stderr_and_ends_with_the_totals(backfill: Backfill) -> None:
    result = backfill("--days", 3, "--json")
    assert len(result.stdout.splitlines()) == 1
    last_line = result.stderr.splitlines()[-1]
    assert last_line.startswith("3 of 3 days, 3 pages, ")
    for word in ("rows", "requests/min", "in all"):
        assert word in last_line


def test_no_progress_is_silent(backfill: Backfill) -> None:
    assert backfill("--days", 3, "--no-progress", "--json").stderr == ""


def test_the_access_token_is_sent_and_never_shown(
    run_cli: RunCli, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedProperty(SITE, rows_per_day=3)
    address = serve(FakeSearchConsole([simulated], access_tokens=frozenset({"s3cret"})))
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", address, "--days", 2)
    refused = run_cli(*arguments, "--access-token", "wr0ng")
    assert refused.exit_code == 1
    assert "get a new access token" in refused.stdout
    assert "what was fetched is kept" not in refused.stdout
    assert "wr0ng" not in refused.output
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "s3cret")
    accepted = run_cli(*arguments)
    assert accepted.exit_code == 0
    assert "s3cret" not in accepted.output
    assert b"s3cret" not in Path("gsc.db").read_bytes()


def test_settings_come_from_file_environment_and_flags(
    run_cli: RunCli, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=3)], quota=Quota())
    Path("settings.toml").write_text('profile = "sequential"\nbatch_size = 2\n')
    monkeypatch.setenv("GSC_TRIO_CONFIG", "settings.toml")
    monkeypatch.setenv("GSC_TRIO_API_ROOT", serve(fake))
    arguments = ("backfill", SITE, "--days", 6, "--json")
    assert the_json(run_cli(*arguments, "--db", "1.db"))["http_batches"] == 3
    monkeypatch.setenv("GSC_TRIO_BATCH_SIZE", "3")
    assert the_json(run_cli(*arguments, "--db", "2.db"))["http_batches"] == 2
    flagged = run_cli(*arguments, "--db", "3.db", "--batch-size", 6)
    assert the_json(flagged)["http_batches"] == 1


def test_dimensions_and_search_types_live_side_by_side(backfill: Backfill) -> None:
    for arguments in (
        ("--dimensions", "query , page"),
        ("--dimensions", "country,device"),
        ("--dimensions", "date"),
        ("--dimensions", "page", "--search-type", "discover"),
    ):
        assert backfill("--days", 2, *arguments).exit_code == 0
