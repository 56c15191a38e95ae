"""``gsc-trio inspect`` as a user meets it, over a real socket."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gsc_trio.cli import main
from gsc_trio.testing import FakeSearchConsole, InspectionQuota, SimulatedProperty

SITE = "sc-domain:example.com"
SHOP = "https://example.com/shop/"
URLS = [f"https://example.com/{number}" for number in range(8)]

RunCli = Callable[..., Result]
Serve = Callable[[FakeSearchConsole], str]


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole([SimulatedProperty(SITE), SimulatedProperty(SHOP)])


def stored(sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("gsc.db")) as connection:
        return connection.execute(sql).fetchall()


def test_urls_are_inspected_in_their_own_properties_and_told_in_order(
    run_cli: RunCli, api_root: str
) -> None:
    urls = [URLS[3], f"{SHOP}shoes", URLS[0]]
    table = run_cli("inspect", *urls, "--api-root", api_root)
    assert (table.exit_code, table.stderr) == (0, "")
    assert [line.split()[0] for line in table.stdout.splitlines()[1:]] == urls
    told = json.loads(run_cli("inspect", *urls, "--json", "--api-root", api_root).stdout)
    assert [(each["inspection_url"], each["site_url"]) for each in told["inspections"]] == [
        (urls[0], SITE),
        (urls[1], SHOP),
        (urls[2], SITE),
    ]
    assert "inspectionResultLink" in told["inspections"][0]["result"]
    assert (told["failures"], told["left"], told["reason"]) == ([], [], "")


def test_answers_are_kept_in_a_table_of_their_own(run_cli: RunCli, api_root: str) -> None:
    arguments = ("inspect", *URLS, "--db", "gsc.db", "--api-root", api_root)
    assert run_cli(*arguments).exit_code == 0
    assert run_cli(*arguments).exit_code == 0
    assert stored("SELECT count(*), count(DISTINCT inspection_url) FROM url_inspection") == [
        (16, 8)
    ]
    states = (
        "SELECT verdict, coverage_state, robots_txt_state, indexing_state, page_fetch_state, "
        "last_crawl_time FROM url_inspection WHERE verdict = 'PASS' LIMIT 1"
    )
    assert stored(states) == [
        (
            *("PASS", "Submitted and indexed", "ALLOWED", "INDEXING_ALLOWED", "SUCCESSFUL"),
            "2026-01-07T10:11:12Z",
        )
    ]
    facts = (
        "SELECT google_canonical = inspection_url, user_canonical = inspection_url, crawled_as, "
        "sitemaps, referring_urls, json_extract(result, '$.indexStatusResult.verdict') "
        "FROM url_inspection WHERE verdict = 'PASS' LIMIT 1"
    )
    sitemaps, referring_urls = '["https://example.com/sitemap.xml"]', '["https://example.com/"]'
    assert stored(facts) == [(1, 1, "MOBILE", sitemaps, referring_urls, "PASS")]
    unknown = (
        "SELECT DISTINCT last_crawl_time, sitemaps FROM url_inspection WHERE verdict <> 'PASS'"
    )
    assert stored(unknown) == [(None, "[]")]


def test_the_days_quota_is_counted_over_runs_and_who_waits_longest_goes_first(
    run_cli: RunCli, api_root: str, fake: FakeSearchConsole
) -> None:
    Path("urls.txt").write_text("\n".join(["", *URLS, URLS[0], ""]))
    arguments = ("inspect", "--from", "urls.txt", "--db", "gsc.db", "--api-root", api_root)
    first = run_cli(*arguments, "--per-day", 5)
    assert first.exit_code == 1
    assert "3 URLs were not inspected: the quota of 5 inspections a day" in first.stderr
    second = run_cli(*arguments, "--per-day", 9, "--concurrency", 1)
    assert second.exit_code == 1
    inspected = fake.site_methods.inspected
    assert sorted(inspected[:5]) == URLS[:5]
    assert inspected[5:8] == URLS[5:]
    assert len(inspected) == 9
    third = run_cli(*arguments, "--per-day", 9)
    assert third.exit_code == 1
    assert "8 URLs were not inspected" in third.stderr
    assert len(inspected) == 9


def test_when_google_says_that_the_day_is_used_up_what_was_answered_is_shown(
    run_cli: RunCli, serve: Serve
) -> None:
    fake = FakeSearchConsole([SimulatedProperty(SITE)], inspection_quota=InspectionQuota(per_day=3))
    arguments = ("inspect", *URLS, "--db", "gsc.db", "--api-root", serve(fake), "--json")
    result = run_cli(*arguments, "--concurrency", 1)
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [each["inspection_url"] for each in told["inspections"]] == URLS[:3]
    assert told["left"] == URLS[3:]
    assert "go on tomorrow" in told["reason"]
    assert stored("SELECT count(*) FROM url_inspection") == [(3,)]


def test_urls_may_come_from_stdin(api_root: str) -> None:
    result = CliRunner().invoke(
        main,
        ["inspect", "--from", "-", "--site", SITE, "--api-root", api_root, "--json"],
        input="https://example.com/a\n\nhttps://www.example.com/b\n",
    )
    assert result.exit_code == 0
    urls = [each["inspection_url"] for each in json.loads(result.stdout)["inspections"]]
    assert urls == ["https://example.com/a", "https://www.example.com/b"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        ((), 2, "there is no URL to inspect: name some"),
        (("example.com/page",), 2, "'example.com/page' is no URL: write it whole"),
        (("https://exa mple.com/",), 2, "is no URL"),
        (("https://[broken/",), 2, "is no URL"),
        (("https://elsewhere.example/",), 2, "is in no property that this account can see"),
        (("https://example.com/", "--site", SHOP), 2, f"is not in {SHOP}"),
        (("https://example.com/", "--site", "example.com"), 2, "is no Search Console property"),
        (("https://a.not.mine/", "--site", "sc-domain:not.mine"), 1, "You do not own this site"),
        (("--from", "absent.txt"), 2, "cannot read URLs from absent.txt: No such file"),
        (("--from", "binary.txt"), 2, "it is no text in UTF-8"),
        (("https://example.com/", "--db", "no/such/folder.db"), 2, "folder"),
        (("https://example.com/", "--per-day", "0"), 2, "--per-day"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: tuple[str, ...], exit_code: int, message: str, run_cli: RunCli, api_root: str
) -> None:
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    result = run_cli("inspect", *arguments, "--api-root", api_root)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
