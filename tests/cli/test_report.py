"""``backfill --report`` and ``gsc-trio report``, as a user meets them."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from click.testing import Result

from gsc_trio.cli import run_report
from gsc_trio.errors import StorageError
from gsc_trio.store.base import RecordedRun
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store
from gsc_trio.testing import FakeSearchConsole

RunCli = Callable[..., Result]

SITE = "sc-domain:example.com"


@pytest.fixture
def backfill(run_cli: RunCli, api_root: str) -> Callable[..., Result]:
    """Two days into ``gsc.db``."""

    def run(*arguments: object) -> Result:
        common = ("--db", "gsc.db", "--days", 2, "--api-root", api_root, "--no-progress")
        return run_cli("backfill", SITE, *common, *arguments)

    return run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page costs to draw is spent where the drawing matters, and only there."""
    monkeypatch.setattr("gsc_trio.report.page.draw_charts", lambda record: [])


async def make_database(path: str, runs: int) -> None:
    """A database with so many runs, whose records nobody can read."""
    began = dt.datetime(2026, 6, 20, tzinfo=dt.UTC)
    async with open_sqlite_store(path) as store:
        for _ in range(runs):
            await store.record_run(
                RecordedRun(SITE, "web", ("page",), "complete", began, 1.5, '{"of": "tomorrow"}')
            )


def numbers_of(page: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in re.findall(r'<data id="(\w+)" value="(.*?)"', page)
    }


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path.cwd().iterdir() if path.is_file()}


def test_a_report_has_the_numbers_of_the_summary_at_once_and_afterwards(
    backfill: Callable[..., Result], run_cli: RunCli
) -> None:
    result = backfill("--json", "--report", "run.html")
    assert (result.exit_code, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    page = Path("run.html").read_text(encoding="utf-8")
    numbers = numbers_of(page)
    assert numbers == {name: summary[name] for name in numbers}
    texts = {"status", "reason", "site", "start", "end"}
    assert set(numbers) == set(summary) - texts - {"days_fetched_again"}  # there are none
    assert "<svg" in page

    before = files()
    later = run_cli("report", "--db", "gsc.db")
    assert later.exit_code == 0
    assert later.stdout == f"gsc-trio-run-1.html: run 1, complete, {SITE}\n"
    assert Path("gsc-trio-run-1.html").read_text(encoding="utf-8") == page
    del (after := files())["gsc-trio-run-1.html"]
    assert after == before


def test_each_run_has_its_record(
    backfill: Callable[..., Result], run_cli: RunCli, drawn: None
) -> None:
    first = json.loads(backfill("--json").stdout)
    backfill("--json")
    assert backfill("--search-type", "discover", "--dimensions", "page").exit_code == 0
    listed = json.loads(run_cli("report", "--db", "gsc.db", "--list", "--json").stdout)
    assert [(run["run"], run["search_type"], run["status"]) for run in listed] == [
        (3, "discover", "complete"),
        (2, "web", "complete"),
        (1, "web", "complete"),
    ]
    table = run_cli("report", "--db", "gsc.db", "--list").stdout.splitlines()
    assert table[0].split() == [
        *("run", "started", "(UTC)", "duration", "status", "site", "type", "dimensions")
    ]
    assert [line.split()[0] for line in table[1:]] == ["3", "2", "1"]
    record = json.loads(run_cli("report", "--db", "gsc.db", "--run", 1, "--json").stdout)
    assert record["summary"] == first
    assert {state for _, state, _ in record["days"]} == {"complete"}
    second = json.loads(run_cli("report", "--db", "gsc.db", "--run", 2, "--json").stdout)
    assert [(state, rows) for _, state, rows in second["days"]] == [
        ("stored", rows) for _, _, rows in record["days"]
    ]
    result = run_cli("report", "--db", "gsc.db", "--run", 2, "--output", "two.html")
    assert result.exit_code == 0
    assert "nothing was asked" in Path("two.html").read_text(encoding="utf-8")


def test_a_run_that_failed_is_reported_too(
    backfill: Callable[..., Result], fake: FakeSearchConsole, drawn: None
) -> None:
    fake.access_tokens = frozenset({"another"})
    result = backfill("--access-token", "ya29.a-secret", "--report", "run.html")
    assert result.exit_code == 1
    page = Path("run.html").read_text(encoding="utf-8")
    assert "<title>failed: " in page
    assert "2 days missing" in " ".join(re.sub("<.*?>", "", page).split())
    everything = b"".join(files().values())
    assert b"ya29" not in everything


def test_a_report_replaces_an_earlier_one_and_nothing_else(
    backfill: Callable[..., Result], run_cli: RunCli, drawn: None
) -> None:
    assert backfill("--report", "run.html").exit_code == 0
    Path("run.html").chmod(0o600)
    first = Path("run.html").read_text(encoding="utf-8")
    assert backfill("--report", "run.html").exit_code == 0
    assert Path("run.html").read_text(encoding="utf-8") != first
    Path("mine.html").write_text("<p>my own page</p>")
    before = files()
    refused = backfill("--report", "mine.html")
    assert (refused.exit_code, refused.stderr) == (
        2,
        "gsc-trio: mine.html is there already and no report: name another file\n",
    )
    for existing in ("mine.html", "run.html"):
        refused = run_cli("report", "--db", "gsc.db", "--output", existing)
        assert (refused.exit_code, refused.stderr) == (
            2,
            f"gsc-trio: {existing} is there already: name another file, or use --force\n",
        )
    assert files() == before
    assert run_cli("report", "--db", "gsc.db", "--output", "mine.html", "--force").exit_code == 0
    assert "gsc-trio run report" in Path("mine.html").read_text(encoding="utf-8")
    assert set(files()) == {*before}


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("nowhere/run.html", "the folder of nowhere/run.html does not exist"),
        ("folder", "folder is a folder: name a file in it"),
        ("gsc.db", "gsc.db belongs to the database: name another file"),
        ("./gsc.db-wal", "gsc.db-wal belongs to the database"),
        ("pipe", "pipe is not an ordinary file"),
        ("file/run.html", "the folder of file/run.html does not exist"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_before_anything_is_done(
    report: str, message: str, backfill: Callable[..., Result], fake: FakeSearchConsole
) -> None:
    Path("folder").mkdir()
    Path("file").write_text("")
    os.mkfifo("pipe")
    before = sorted(Path.cwd().iterdir())
    result = backfill("--report", report)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(Path.cwd().iterdir()) == before
    assert not fake.calls


def test_a_report_into_a_folder_without_permission_is_refused(
    backfill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("locked").mkdir()
    allowed = os.access
    monkeypatch.setattr(
        "os.access", lambda path, mode: "locked" not in str(path) and allowed(path, mode)
    )  # root may write everywhere
    result = backfill("--report", "locked/run.html")
    assert result.exit_code == 2
    assert "no permission to write to locked" in result.stderr
    assert not Path("gsc.db").exists()


def test_without_what_draws_a_report_is_refused_before_the_run(
    backfill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_report, "find_spec", lambda name: None)
    result = backfill("--report", "run.html")
    assert (result.exit_code, result.stderr) == (
        2,
        "gsc-trio: a report needs more packages: pip install 'gsc-trio[report]'\n",
    )
    assert not files()


def test_a_page_that_cannot_be_written_leaves_the_old_one_and_says_so(
    backfill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, drawn: None
) -> None:
    backfill("--report", "run.html")
    before = files()["run.html"]

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = backfill("--report", "run.html")
    assert result.exit_code == 1
    assert result.stdout.startswith("complete: ")
    assert result.stderr == "gsc-trio: cannot write run.html: No space left on device\n"
    assert files()["run.html"] == before
    assert {name for name in files() if name.endswith(".html") or name.startswith(".")} == {
        "run.html"
    }


def test_the_permissions_of_a_page_are_those_of_any_new_file(
    backfill: Callable[..., Result], drawn: None
) -> None:
    before = os.umask(0o027)
    try:
        backfill("--report", "run.html")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("run.html").stat().st_mode) == 0o640


def test_a_run_whose_record_cannot_be_stored_is_as_good_as_any(
    backfill: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, drawn: None
) -> None:
    async def fail(self: SqliteStore, run: object) -> int:
        raise StorageError("cannot write gsc.db: the disk is full")

    monkeypatch.setattr(SqliteStore, "record_run", fail)
    result = backfill("--report", "run.html")
    assert result.exit_code == 0
    assert "the run is not recorded: cannot write gsc.db: the disk is full" in result.stderr
    assert Path("run.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--db none.db", "there is no database at none.db"),
        ("--db other.db", "other.db is a database of another program"),
        ("--db text.html", "text.html is not a SQLite database"),
        ("--db empty.db", "empty.db has no run recorded: a backfill leaves one when it ends"),
        ("--db gsc.db --run 7", "gsc.db has no run 7: it has 1 to 2, which --list shows"),
        ("--db gsc.db --run 0", "0 is not in the range"),
        ("--db gsc.db --run x", "'x' is not a valid integer"),
        ("--db gsc.db --list --output x.html", "--list and --json print"),
        ("--db gsc.db --list --run 1", "--list shows all runs"),
        ("--db gsc.db --run 2000000000", "is not in the range"),
        ("--db gsc.db --output gsc.db --force", "gsc.db belongs to the database"),
        ("--db gsc.db --output no/x.html", "the folder of no/x.html does not exist"),
        ("", "Missing option '--db'"),
    ],
)
def test_bad_input_gets_one_clear_line_and_changes_nothing(
    arguments: str, message: str, run_cli: RunCli
) -> None:
    trio.run(make_database, "gsc.db", 2)
    trio.run(make_database, "empty.db", 0)
    with closing(sqlite3.connect("other.db")) as connection, connection:
        connection.execute("CREATE TABLE x (y)")
    Path("text.html").write_text("<p>text</p>" * 100)
    before = files()
    result = run_cli("report", *arguments.split())
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert files() == before


def test_runs_into_a_folder_of_parquet_files_are_remembered_in_its_ledger(
    run_cli: RunCli, api_root: str
) -> None:
    where = ("--db", "folder", "--store", "parquet", "--days", 1, "--api-root", api_root)
    assert run_cli("backfill", SITE, *where, "--no-progress").exit_code == 0
    [run] = json.loads(run_cli("report", "--db", "folder", "--list", "--json").stdout)
    assert (run["run"], run["status"]) == (1, "complete")


def test_a_record_of_another_version_is_told_in_one_line(
    backfill: Callable[..., Result], run_cli: RunCli
) -> None:
    backfill()
    with closing(sqlite3.connect("gsc.db")) as connection, connection:
        connection.execute('UPDATE run SET record = \'{"of": "tomorrow"}\'')
    result = run_cli("report", "--db", "gsc.db")
    assert result.exit_code == 1
    assert "the record is not one of this version" in result.stderr
    assert list(Path.cwd().glob("*.html")) == []
