"""``gsc-trio sites`` and ``gsc-trio sitemaps`` as a user meets them, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from gsc_trio.testing import FakeSearchConsole, SimulatedProperty

SITE = "sc-domain:example.com"
OTHER = "https://other.example/"

RunCli = Callable[..., Result]
Serve = Callable[[FakeSearchConsole], str]


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=40), SimulatedProperty(OTHER)],
        permission_levels={OTHER: "siteRestrictedUser"},
    )


def test_sites_have_their_permission_levels(run_cli: RunCli, api_root: str) -> None:
    result = run_cli("sites", "--api-root", api_root)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["site", "permission"],
        [OTHER, "siteRestrictedUser"],
        [SITE, "siteOwner"],
    ]


@pytest.mark.parametrize("arguments", [("sites",), ("sitemaps", SITE)])
def test_who_is_refused_is_told_what_to_do(
    arguments: tuple[str, ...], run_cli: RunCli, serve: Serve
) -> None:
    api_root = serve(FakeSearchConsole([], access_tokens={"good"}))
    result = run_cli(*arguments, "--api-root", api_root, "--access-token", "bad")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "gsc-trio: Invalid Credentials (401 authError); get a new access token, or sign in with "
        "`gsc-trio login`, and run again\n"
    )


def test_sites_tell_what_is_stored_also_of_those_that_cannot_be_seen_any_more(
    run_cli: RunCli, api_root: str, serve: Serve
) -> None:
    backfill = ("backfill", SITE, "--db", "gsc.db", "--days", 3, "--api-root", api_root)
    run_cli(*backfill)
    run_cli(*backfill, "--search-type", "discover", "--dimensions", "page")
    now = serve(FakeSearchConsole([SimulatedProperty(OTHER)]))
    listed = json.loads(run_cli("sites", "--db", "gsc.db", "--json", "--api-root", now).stdout)
    assert [(each["site_url"], each["permission_level"]) for each in listed] == [
        (OTHER, "siteOwner"),
        (SITE, "none"),
    ]
    assert [each["search_type"] for each in listed[1]["stored"]] == ["discover", "web"]
    rows = sum(each["rows"] for each in listed[1]["stored"])
    table = run_cli("sites", "--db", "gsc.db", "--api-root", now).stdout.splitlines()
    assert table[1].split() == [OTHER, "siteOwner", "0", "0", "0", "-", "-"]
    assert table[2].split()[:5] == [SITE, "none", "2", "3", f"{rows:,}"]


def test_an_account_without_properties_is_told_what_to_do(run_cli: RunCli, serve: Serve) -> None:
    result = run_cli("sites", "--api-root", serve(FakeSearchConsole([])))
    assert (result.exit_code, result.stdout) == (0, "")
    assert "add it as a user" in result.stderr


def test_sitemaps_are_listed(run_cli: RunCli, api_root: str) -> None:
    table = run_cli("sitemaps", SITE, "--api-root", api_root).stdout.splitlines()
    assert [line.split("  ")[0] for line in table[1:]] == [
        "https://example.com/news.xml",
        "https://example.com/sitemap.xml",
    ]
    facts = "  ".join(table[2].split("  ")[1:]).split()
    assert facts[:5] == ["sitemap", "2026-01-05", "08:30", "2026-01-06", "03:04"]
    assert facts[5:] == ["1,234", "2", "0"]
    assert "pending" in table[1]
    listed = json.loads(run_cli("sitemaps", SITE, "--json", "--api-root", api_root).stdout)
    assert listed[1]["contents"][0] == {"type": "web", "submitted": 1_200, "indexed": 0}
    assert (listed[1]["warnings"], listed[1]["urls_submitted"]) == (2, 1_234)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (("sitemaps", "example.com"), 2, "is no Search Console property: write https://host/"),
        (("sitemaps", "sc-domain:not.mine"), 1, "does not have sufficient permission"),
        (("sites", "--db", "absent.db"), 2, "there is no database at absent.db"),
        (("sites", "--account", "nobody"), 2, "nobody"),
        (("sites", "--key-file", "absent.json"), 2, "absent.json"),
        (("sites", "--api-root", "http://127.0.0.1:9"), 1, "ConnectError"),
        (("sitemaps",), 2, "Missing argument 'SITE'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: tuple[str, ...], exit_code: int, message: str, run_cli: RunCli, api_root: str
) -> None:
    result = run_cli(arguments[0], "--api-root", api_root, *arguments[1:])
    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("sites",), ("sitemaps", SITE)])
def test_an_access_token_that_is_refused_is_told(
    command: tuple[str, ...], run_cli: RunCli, serve: Serve
) -> None:
    fake = FakeSearchConsole([SimulatedProperty(SITE)], access_tokens=frozenset({"good"}))
    arguments = (*command, "--api-root", serve(fake))
    refused = run_cli(*arguments, "--access-token", "secret-token-of-mine")
    assert refused.exit_code == 1
    assert "Invalid Credentials (401 authError)" in refused.stderr
    assert "secret-token-of-mine" not in refused.output
    assert run_cli(*arguments, "--access-token", "good").exit_code == 0
