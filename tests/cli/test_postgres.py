"""A Postgres database wherever --db is, and a clear line where it cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import trio
from click.testing import Result

from gsc_trio.store.postgres.store import open_postgres_store
from gsc_trio.store.sqlite import open_sqlite_store
from tests.postgres_server import PostgresServer
from tests.store.databases import content, reading

SITE = "sc-domain:example.com"

RunCli = Callable[..., Result]


@pytest.fixture
def cli(run_cli: RunCli, api_root: str, monkeypatch: pytest.MonkeyPatch) -> RunCli:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    return run_cli


def test_what_is_fetched_is_the_same_as_in_a_file(cli: RunCli, postgres_address: str) -> None:
    for database in ("gsc.db", postgres_address):
        result = cli("backfill", SITE, "--days", 40, "--db", database, "--no-progress")
        assert result.exit_code == 0, result.stderr
        assert "complete" in result.stdout

    async def check() -> None:
        async with (
            open_sqlite_store("gsc.db", read_only=True) as sqlite,
            open_postgres_store(postgres_address, read_only=True) as postgres,
        ):
            with reading(sqlite) as one, reading(postgres) as other:
                assert content(one) == content(other)
                assert len(content(one)["page_ledger"]) >= 40

    trio.run(check)


def test_a_day_with_postgres(cli: RunCli, postgres_server: PostgresServer) -> None:
    database = ("--db", postgres_server.empty_database())
    quiet = (*database, "--no-progress")
    assert "holds nothing of gsc-trio yet" in cli("status", *database).stderr
    assert cli("sync", SITE, *quiet, "--max-requests", 3).exit_code == 0
    result = cli("backfill", SITE, "--days", 10, *quiet)
    assert result.exit_code == 0
    [command] = [line for line in result.stdout.splitlines() if "AS position" in line]
    assert command.startswith("  psql postgresql://gsc@")
    sql = command.partition(' -c "')[2].removesuffix('"')
    with psycopg.connect(database[1]) as connection:
        assert connection.execute(sql).fetchall()
    assert "nothing to fetch" in cli("backfill", SITE, "--days", 10, *quiet).stdout
    [stored] = json.loads(cli("status", *database, "--json").stdout)
    assert stored["days_complete"] >= 10
    assert SITE in cli("sites", *database).stdout
    assert "no defect" in cli("verify", *quiet).stdout
    assert cli("inspect", "https://example.com/", "--site", SITE, *database).exit_code == 0
    assert len(json.loads(cli("report", *database, "--list", "--json").stdout)) == 3
    assert cli("report", *database, "--output", "run.html").exit_code == 0
    assert cli("export", "rows.csv", *database).stdout.startswith("wrote 1")
    assert Path("rows.csv").read_text().startswith('"data_date","site_url","search_type","url",')
    postgres_server.drop_database(database[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rollout", SITE], "rollout cannot work with a Postgres database: name an SQLite file"),
        (["demo"], "demo cannot work with a Postgres database"),
        (["datasette-metadata"], "datasette-metadata cannot work with a Postgres database"),
        (["backfill", SITE, "--store", "parquet"], "--store parquet writes to a folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    cli: RunCli, arguments: list[str], message: str
) -> None:
    result = cli(*arguments, "--db", "postgresql://me:s3cret@127.0.0.1:1/search")
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "s3cret" not in result.output


@pytest.mark.parametrize(
    "command", ["backfill", "sync", "status", "report", "verify", "inspect", "export"]
)
def test_a_server_that_is_not_there_is_told_without_the_password(cli: RunCli, command: str) -> None:
    subject = {"backfill": [SITE], "sync": [SITE], "inspect": ["https://example.com/"]}
    subject["export"] = ["rows.csv"]
    result = cli(
        command, *subject.get(command, []), "--db", "postgresql://me:s3cret@127.0.0.1:1/search"
    )
    assert result.exit_code == 1
    assert "cannot open postgresql://me@127.0.0.1:1/search" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "s3cret" not in result.output


def test_without_psycopg_the_command_says_what_to_install() -> None:
    program = """if True:
        import sys
        sys.modules["psycopg"] = None
        from gsc_trio.cli import main
        main(["status", "--db", "postgresql://localhost/search"])
    """
    result = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False
    )
    assert result.returncode == 2
    assert "a Postgres database needs psycopg" in result.stderr
    assert "pip install 'gsc-trio[postgres]'" in result.stderr
