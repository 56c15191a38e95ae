"""`gsc-trio export` and `backfill --store parquet`, as they are used."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import SITE, RunCli

FILES = "read_parquet('{}/search_analytics_by_page_query/**/*.parquet', hive_partitioning = true)"


@pytest.fixture
def database(run_cli: RunCli, api_root: str) -> str:
    arguments = ("--db", "gsc.db", "--days", 10, "--api-root", api_root, "--no-progress")
    assert run_cli("backfill", SITE, *arguments).exit_code == 0
    return "gsc.db"


def test_a_first_export_and_one_every_night(run_cli: RunCli, database: str, api_root: str) -> None:
    first = run_cli("export", "out", "--db", database, "--update")
    assert first.exit_code == 0
    assert first.stdout.startswith("wrote 10 days, ")
    assert first.stderr == ""
    run_cli("backfill", SITE, "--db", database, "--days", 12, "--api-root", api_root)
    second = run_cli("export", "out", "--db", database, "--update", "--json")
    summary = json.loads(second.stdout)
    assert (summary["days_written"], summary["days_unchanged"]) == (2, 10)
    [(days,)] = duckdb.execute(
        f"SELECT count(DISTINCT data_date) FROM {FILES.format('out')}"
    ).fetchall()
    assert days == 12


@pytest.mark.parametrize("target", ["out", "out.csv", "out.duckdb"])
def test_a_target_that_exists_is_told_in_one_line(
    run_cli: RunCli, database: str, target: str
) -> None:
    assert run_cli("export", target, "--db", database).exit_code == 0
    refused = run_cli("export", target, "--db", database)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"gsc-trio: {target} ")
    assert refused.stderr.count("\n") == 1
    assert run_cli("export", target, "--db", database, "--overwrite").exit_code == 0


@pytest.mark.parametrize("target", ["out.xlsx", "out.parquet", "out.JSON", "out.sqlite"])
def test_a_target_that_looks_like_a_file_of_another_kind_becomes_no_folder(
    run_cli: RunCli, database: str, target: str
) -> None:
    refused = run_cli("export", target, "--db", database)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "name a folder, or a file that ends in .csv or .duckdb" in refused.stderr
    assert not Path(target).exists()
    assert run_cli("export", target, "--db", database, "--format", "parquet").exit_code == 0
    assert run_cli("export", target, "--db", database, "--update").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--update", "--overwrite"], "exclude each other"),
        (["--start", "2026-02-30"], "give an existing date"),
        (["--start", "2026-02-02", "--end", "2026-02-01"], "is after --end"),
        (["--search-type", "Web"], "unknown search type 'Web': use one of web, image"),
        (["--dimensions", "page,keyword"], "unknown dimension 'keyword': use any of"),
        (["--site", "sc-domain:other.example"], "no complete day to export"),
        (["--format", "xlsx"], "'xlsx' is not one of"),
        (["--db", "no.db"], "there is no database at no.db"),
        (["--db", "out.txt"], "out.txt is not a SQLite database"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    run_cli: RunCli, database: str, arguments: list[str], message: str
) -> None:
    Path("out.txt").write_text("text " * 200)
    before = sorted(Path().rglob("*"))
    refused = run_cli("export", "out", "--db", database, *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert sorted(Path().rglob("*")) == before


def test_the_format_is_told_by_the_name_or_by_an_option(run_cli: RunCli, database: str) -> None:
    run_cli("export", "rows.CSV", "--db", database)
    run_cli("export", "rows", "--db", database, "--format", "csv")
    assert Path("rows.CSV").read_bytes() == Path("rows").read_bytes()


def test_backfill_writes_straight_to_parquet_and_goes_on_where_it_stopped(
    run_cli: RunCli, database: str, api_root: str
) -> None:
    arguments = ("--db", "folder", "--store", "parquet", "--api-root", api_root)
    result = run_cli("backfill", SITE, *arguments, "--days", 4)
    assert result.exit_code == 0
    assert "  database: folder\n" in result.stdout
    again = run_cli("backfill", SITE, *arguments, "--days", 10)
    assert "  6 days, 6 pages, " in again.stdout
    assert "nothing to fetch" in run_cli("backfill", SITE, *arguments, "--days", 10).stdout
    run_cli("export", "out", "--db", database)
    select = "SELECT * FROM {} ORDER BY data_date, url, query"
    rows = [
        duckdb.execute(select.format(FILES.format(each))).fetchall() for each in ("out", "folder")
    ]
    assert rows[0] == rows[1] != []
    status = json.loads(run_cli("status", "--db", "folder", "--json").stdout)
    assert [(each["site_url"], each["days_complete"]) for each in status] == [(SITE, 10)]


def test_the_queries_that_are_suggested_for_a_folder_run(run_cli: RunCli, api_root: str) -> None:
    for dimensions in ("page,query", "query", "date"):
        arguments = ("--db", "a folder", "--store", "parquet", "--dimensions", dimensions)
        result = run_cli("backfill", SITE, *arguments, "--days", 4, "--api-root", api_root)
        queries = [line for line in result.stdout.splitlines() if "duckdb -c" in line]
        assert len(queries) == (1 if dimensions == "date" else 2)
        for line in queries:
            assert duckdb.execute(line.split('"', 1)[1].removesuffix('"')).fetchall()


def test_a_backfill_into_something_else_is_refused(
    run_cli: RunCli, database: str, api_root: str
) -> None:
    run_cli("export", "out", "--db", database)
    for target, store, message in (
        ("out", "parquet", "holds files that no backfill wrote there"),
        (database, "parquet", "is a file: name a folder"),
        ("out", "sqlite", "is a folder: name a database file"),
    ):
        arguments = ("--db", target, "--store", store, "--days", 4, "--api-root", api_root)
        refused = run_cli("backfill", SITE, *arguments)
        assert refused.exit_code == 2
        assert message in refused.stderr
    run_cli(
        *("backfill", SITE, "--db", "folder", "--store", "parquet"),
        *("--days", 4, "--api-root", api_root),
    )
    refused = run_cli("export", "folder", "--db", database, "--update")
    assert refused.exit_code == 2
    assert "is what backfill --store parquet writes" in refused.stderr


def test_metadata_for_datasette_is_json(run_cli: RunCli, database: str) -> None:
    metadata = json.loads(run_cli("datasette-metadata", "--db", database).stdout)
    assert metadata["databases"].keys() == {"gsc"}
