"""Bad input gets one clear line and exit code 2, and nothing on disk changes."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from click.testing import Result

from gsc_trio.dates import oldest_day, pacific_today
from gsc_trio.store.sqlite import open_sqlite_store

RunCli = Callable[..., Result]

SITE = "sc-domain:example.com"
TODAY = pacific_today()
TOMORROW = TODAY + dt.timedelta(days=1)
TOO_OLD = oldest_day(TODAY) - dt.timedelta(days=2)

BAD_BACKFILLS = {
    "no site": ("--db new.db", "name a SITE, or give a list of properties with --sites FILE"),
    "no database": (SITE, "Missing option '--db'"),
    "unknown option": (f"{SITE} --db new.db --dbb x", "No such option"),
    "dates reversed": (
        f"{SITE} --db new.db --start {TODAY - dt.timedelta(5)} --end {TODAY - dt.timedelta(6)}",
        "is after the end",
    ),
    "end in the future": (f"{SITE} --db new.db --end {TOMORROW}", "in the future"),
    "start in the future": (f"{SITE} --db new.db --start {TOMORROW}", "in the future"),
    "older than 16 months": (f"{SITE} --db new.db --start {TOO_OLD}", "16 months"),
    "end older than 16 months": (f"{SITE} --db new.db --end {TOO_OLD}", "16 months"),
    "no such date": (f"{SITE} --db new.db --start 2025-02-30", "--start is '2025-02-30'"),
    "date of another form": (f"{SITE} --db new.db --end 20250201", "YYYY-MM-DD"),
    "days and start": (f"{SITE} --db new.db --days 3 --start {TODAY}", "--days cannot be combined"),
    "days and end": (f"{SITE} --db new.db --days 3 --end {TODAY}", "--days cannot be combined"),
    "no days": (f"{SITE} --db new.db --days 0", "--days is 0: use 1 to"),
    "too many days": (f"{SITE} --db new.db --days 600", "--days is 600: use 1 to"),
    "days that are no number": (f"{SITE} --db new.db --days ten", "'ten' is not a valid integer"),
    "unknown dimension": (f"{SITE} --db new.db --dimensions page,city", "unknown dimension 'city'"),
    "doubled dimension": (f"{SITE} --db new.db --dimensions page,page", "more than once"),
    "searchAppearance combined": (
        f"{SITE} --db new.db --dimensions page,searchAppearance",
        "searchAppearance cannot be combined",
    ),
    "discover by query": (f"{SITE} --db new.db --search-type discover", "no query dimension"),
    "unknown search type": (f"{SITE} --db new.db --search-type maps", "unknown search type 'maps'"),
    "unknown data state": (f"{SITE} --db new.db --data-state hot", "unknown data state 'hot'"),
    "site without scheme": ("example.com --db new.db", "'example.com' is no Search Console prop"),
    "site without slash": ("https://example.com --db new.db", "with the slash at the end"),
    "no concurrency": (f"{SITE} --db new.db --max-concurrency 0", "--max-concurrency is 0: use a"),
    "concurrency that is no number": (
        f"{SITE} --db new.db --max-concurrency many",
        "--max-concurrency is 'many': use a whole number from 1 to 100",
    ),
    "batch too large": (f"{SITE} --db new.db --batch-size 1001", "--batch-size is 1,001"),
    "queue too small": (f"{SITE} --db new.db --max-queue-size 0", "--max-queue-size is 0"),
    "nothing in flight": (f"{SITE} --db new.db --max-in-flight 0", "--max-in-flight is 0"),
    "no quota": (f"{SITE} --db new.db --queries-per-minute 0", "--queries-per-minute is 0"),
    "bad address": (f"{SITE} --db new.db --api-root localhost:1", "--api-root is 'localhost:1'"),
    "unknown profile": (f"{SITE} --db new.db --profile fast", "unknown profile 'fast'"),
    "no such settings file": (f"{SITE} --db new.db --config no.toml", "settings file no.toml"),
    "directory as database": (f"{SITE} --db folder", "folder"),
    "no such folder": (f"{SITE} --db nowhere/new.db", "nowhere"),
    "no database file": (f"{SITE} --db text.db", "text.db"),
    "database of another program": (f"{SITE} --db other.db", "other.db"),
    "newer schema": (f"{SITE} --db newer.db", "newer.db"),
}


@pytest.fixture(autouse=True)
def folder_with_files(tmp_path: Path, clean_environment: None) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("just some notes, long enough to be no empty file\n" * 50)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE contacts (name)")
        connection.commit()
    trio.run(_make_database, tmp_path / "newer.db")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as connection:
        connection.execute("PRAGMA user_version = 1000")


async def _make_database(path: Path) -> None:
    async with open_sqlite_store(path):
        pass


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(("arguments", "message"), BAD_BACKFILLS.values(), ids=BAD_BACKFILLS)
def test_a_backfill_refuses_bad_input(
    arguments: str,
    message: str,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GSC_TRIO_ACCESS_TOKEN", "s3cret")
    before = contents(tmp_path)
    result = run_cli("backfill", *arguments.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("gsc-trio")
    assert message in result.stderr
    assert "s3cret" not in result.stderr
    assert contents(tmp_path) == before


def test_without_credentials_google_is_not_asked(run_cli: RunCli, tmp_path: Path) -> None:
    result = run_cli("backfill", SITE, "--db", "new.db")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    for hint in ("gsc-trio login", "--key-file", "GSC_TRIO_ACCESS_TOKEN", "webmasters.readonly"):
        assert hint in result.stderr
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("GSC_TRIO_MAX_CONCURRENCY", "0", "GSC_TRIO_MAX_CONCURRENCY is 0: use a whole number"),
        ("GSC_TRIO_MAX_CONCURENCY", "1", "did you mean GSC_TRIO_MAX_CONCURRENCY?"),
        ("GSC_TRIO_PROFILE", "fast", "unknown profile 'fast'"),
        ("GSC_TRIO_ACCESS_TOKEN", "s3cret s3cret", "GSC_TRIO_ACCESS_TOKEN is no access token"),
    ],
)
def test_bad_variables_are_refused(
    variable: str,
    value: str,
    message: str,
    run_cli: RunCli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    result = run_cli("backfill", SITE, "--db", "new.db")
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert "s3cret" not in result.stderr
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("database", ["new.db", "folder", "text.db", "other.db", "newer.db"])
def test_status_refuses_what_is_no_database_of_ours(
    database: str, run_cli: RunCli, tmp_path: Path
) -> None:
    before = contents(tmp_path)
    result = run_cli("status", "--db", database)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert database in result.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        *("--port 65536", "--site example.com", "--rows-per-day -1", "--latency-jitter 2"),
        *("--cassette missing.cassette", "--cassette text.db"),
    ],
)
def test_the_fake_server_refuses_bad_input(arguments: str, run_cli: RunCli) -> None:
    result = run_cli("fake-server", *arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_without_a_command_the_help_is_shown(run_cli: RunCli) -> None:
    result = run_cli()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Begin here:" in result.stderr
