"""``gsc-trio backfill --sites FILE`` against a fake Search Console on loopback."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gsc_trio.cli import main
from gsc_trio.credentials.accounts import AccountsFile, ServiceAccount
from gsc_trio.testing import FakeOAuthServer, FakeSearchConsole, Latency, SimulatedProperty

RunCli = Callable[..., Result]

SITES = [f"sc-domain:site-{number}.example" for number in range(5)]
GONE = "https://gone.example/"


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(site, seed=seed, rows_per_day=20) for seed, site in enumerate(SITES)]
    )


@pytest.fixture
def cli(run_cli: RunCli, api_root: str, monkeypatch: pytest.MonkeyPatch) -> RunCli:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)

    def run(*arguments: object) -> Result:
        return run_cli("backfill", "--db", "gsc.db", "--days", 3, *arguments)

    return run


def write_sites(*sites: str) -> Path:
    path = Path("sites.txt")
    path.write_text("# ours\n\n" + "".join(f"{site}  # one\n" for site in sites))
    return path


def stored(database: str = "gsc.db") -> dict[str, int]:
    with closing(sqlite3.connect(database)) as connection:
        sql = (
            "SELECT site_url, count(DISTINCT data_date) FROM page_ledger "
            "JOIN dataset ON dataset.id = dataset_id GROUP BY 1"
        )
        return dict(connection.execute(sql).fetchall())


def test_all_of_a_file_are_fetched_and_told_in_a_table(cli: RunCli) -> None:
    result = cli("--sites", write_sites(*SITES), "--max-concurrency", 4)
    assert result.exit_code == 0
    assert stored() == dict.fromkeys(SITES, 3)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["site", "days", "rows", "status", "reason"]
    assert [line.split()[:2] for line in lines[1:6]] == [[site, "3"] for site in SITES]
    assert lines[7].startswith("5 properties, ")
    assert lines[7].endswith(", web by page, query: 5 complete")
    assert "5 of 5 properties, 15 of 15 days" in result.stderr.splitlines()[-1]


def test_what_is_there_is_neither_fetched_nor_listed(cli: RunCli, fake: FakeSearchConsole) -> None:
    cli("--sites", write_sites(*SITES[:4]))
    fake.calls.clear()
    result = cli("--sites", write_sites(*SITES))
    assert result.exit_code == 0
    assert {call.site_url for call in fake.calls} == {SITES[4]}
    assert SITES[0] not in result.stdout
    assert "4 had nothing to fetch" in result.stdout
    fake.calls.clear()
    assert cli("--sites", write_sites(*SITES)).stdout.splitlines()[0].startswith("5 properties")
    assert fake.calls == []


@pytest.mark.parametrize("concurrency", [1, 3])
def test_one_that_fails_is_named_and_stops_no_other(cli: RunCli, concurrency: int) -> None:
    sites = write_sites(GONE, *SITES)
    result = cli("--sites", sites, "--json", "--max-concurrency", concurrency)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["exit_code"] == 1
    properties = {each["site"]: each for each in told["properties"]}
    assert list(properties) == [GONE, *SITES]
    assert properties[GONE]["status"] == "failed"
    assert "sufficient permission" in properties[GONE]["reason"]
    assert {properties[site]["status"] for site in SITES} == {"complete"}
    assert stored() == dict.fromkeys(SITES, 3)
    assert f"failed: {GONE}: " in result.stderr


def test_a_list_comes_from_standard_input_too(cli: RunCli, api_root: str) -> None:
    arguments = ["backfill", "--sites", "-", "--db", "gsc.db", "--days", "2", "--no-progress"]
    result = CliRunner().invoke(main, arguments, input="\n".join(SITES[:2]))
    assert result.exit_code == 0
    assert stored() == dict.fromkeys(SITES[:2], 2)


def test_days_go_to_files_too_and_a_file_that_is_lost_is_fetched_again(cli: RunCli) -> None:
    arguments = ("--sites", write_sites(*SITES), "--store", "parquet", "--db", "days")
    assert cli(*arguments, "--max-concurrency", 5).exit_code == 0
    files = sorted(Path("days").rglob("*.parquet"))
    assert len(files) == 15
    files[7].unlink()
    again = json.loads(cli(*arguments, "--json").stdout)
    assert sorted(each["days"] for each in again["properties"]) == [0, 0, 0, 0, 1]
    assert sorted(Path("days").rglob("*.parquet")) == files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{SITES[0]}\nexample.com\n", "sites.txt, line 2: 'example.com' is no Search Console"),
        (f"{SITES[0]}\n# {SITES[1]}\n{SITES[0]}", f"line 3: {SITES[0]} is on line 1 already"),
        (f"{SITES[0]} {SITES[1]}\n", "line 1: "),
        ("\n# nothing\n", "sites.txt lists no property"),
        (b"\xff\xfe", "the list of sites sites.txt is not UTF-8 text"),
        (None, "cannot read the list of sites sites.txt: No such file"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line_before_anything_is_asked(
    content: str | bytes | None, message: str, cli: RunCli, fake: FakeSearchConsole
) -> None:
    if content is not None:
        Path("sites.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = cli("--sites", "sites.txt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert fake.http_requests == 0
    assert not Path("gsc.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a SITE, or give a list of properties with --sites FILE"),
        ((SITES[0], "--sites", "sites.txt"), "name a SITE, or give a list"),
        (("--sites", "sites.txt", "--report", "r.html"), "--report is about one property"),
        (("--sites", "sites.txt", "--record", "r.cassette"), "--record is about one property"),
        (("--sites", "sites.txt", "--days", "3000"), "16 months"),
        (("--sites", "sites.txt", "--dimensions", "colour"), "unknown dimension 'colour'"),
    ],
)
def test_wrong_usage_changes_nothing(
    arguments: tuple[str, ...], message: str, cli: RunCli, fake: FakeSearchConsole
) -> None:
    write_sites(*SITES)
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert fake.http_requests == 0
    assert not Path("gsc.db").exists()


def test_each_property_is_asked_for_by_its_own_account(
    run_cli: RunCli, serve: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    oauth = FakeOAuthServer()
    fake = FakeSearchConsole(
        [SimulatedProperty(site, rows_per_day=5) for site in SITES],
        access_tokens=oauth.access_tokens,
    )
    root = serve(oauth.in_front_of(fake))
    monkeypatch.setenv("GSC_TRIO_API_ROOT", root)
    key_file, key = Path("key.json"), oauth.key_file(root)
    key_file.write_text(json.dumps(key))
    accounts = AccountsFile(Path(os.environ["GSC_TRIO_ACCOUNTS_FILE"]))
    for name in ("agency", "other"):
        accounts.put(name, ServiceAccount(str(key_file), key["client_email"], key["token_uri"]))
    for number, site in enumerate(SITES):
        accounts.pin(site, ("agency", "other")[number % 2])
    arguments = ("backfill", "--sites", write_sites(*SITES), "--db", "gsc.db", "--days", 2)
    result = run_cli(*arguments)
    assert result.exit_code == 0
    by_site = {site: {call.user for call in fake.calls if call.site_url == site} for site in SITES}
    assert by_site[SITES[0]] == by_site[SITES[2]] == by_site[SITES[4]] != by_site[SITES[1]]
    assert all(len(users) == 1 for users in by_site.values())
    accounts.pin(SITES[3], None)
    refused = run_cli(*arguments)
    assert refused.exit_code == 2
    assert "there are 2 accounts" in refused.stderr


def test_ctrl_c_halts_all_and_the_same_command_goes_on(serve: Callable[[Any], str]) -> None:
    fake = FakeSearchConsole(
        [SimulatedProperty(site, rows_per_day=5) for site in SITES], latency=Latency(scale=0.3)
    )
    sites = str(write_sites(*SITES))
    command = [sys.executable, "-m", "gsc_trio.cli", "backfill", "--sites", sites]
    command += ["--db", "gsc.db", "--days", "40", "--max-concurrency", "2", "--batch-size", "4"]
    environment = {**os.environ, "GSC_TRIO_API_ROOT": serve(fake)}
    process = subprocess.Popen(
        [*command, "--json", "--log-format", "text"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "day_completed" in line:
            break
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    properties = json.loads(stdout)["properties"]
    assert {each["status"] for each in properties} == {"interrupted"}
    assert any(each["reason"].startswith("not begun: ") for each in properties)
    fake.latency.scale = 0
    subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert stored() == dict.fromkeys(SITES, 40)
