"""`login`, `logout`, `accounts`, and a backfill with what they keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import Result

from gsc_trio.store.dump import comparable_dump
from gsc_trio.testing import FakeOAuthServer, FakeSearchConsole, SimulatedProperty
from gsc_trio.testing.transport import App
from tests.cli.sign_in import CLIENT_FILE, KEY_FILE, Browser, ExpiringTokens, write_files

SITE = "sc-domain:example.com"
RunCli = Callable[..., Result]
Serve = Callable[[App], str]
ACCOUNTS = Path("config", "accounts.json")


@pytest.fixture
def oauth() -> FakeOAuthServer:
    return FakeOAuthServer()


@pytest.fixture
def guarded(oauth: FakeOAuthServer) -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], access_tokens=oauth.access_tokens
    )


@pytest.fixture(autouse=True)
def google(
    oauth: FakeOAuthServer,
    guarded: FakeSearchConsole,
    serve: Serve,
    clean_environment: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A fake Google that wants to be signed in to, and a browser."""
    api_root = serve(oauth.in_front_of(guarded))
    write_files(oauth, api_root)
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    monkeypatch.setenv("DISPLAY", ":0")
    browser = Browser()
    monkeypatch.setattr("webbrowser.open", browser.open)
    yield api_root
    browser.close()


def backfill(run_cli: RunCli, *arguments: object, database: str = "gsc.db") -> Result:
    return run_cli("backfill", SITE, "--db", database, "--days", 40, "--no-progress", *arguments)


def test_login_backfill_logout(run_cli: RunCli, oauth: FakeOAuthServer) -> None:
    result = run_cli("login", "--client", CLIENT_FILE)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"signed in as account default, kept in {ACCOUNTS.absolute()}\n"
    assert f"it sees 1 property: {SITE}" in result.stderr
    assert ACCOUNTS.stat().st_mode & 0o777 == 0o600

    assert backfill(run_cli).exit_code == 0
    listed = run_cli("accounts").stdout
    assert run_cli("login", "--list").stdout == listed
    assert listed.splitlines()[1].startswith("default  user  20")
    (account,) = json.loads(run_cli("accounts", "--json").stdout)
    assert (account["account"], account["kind"], account["sites"]) == ("default", "user", [])

    result = run_cli("logout")
    assert (result.exit_code, result.stdout) == (0, "account default: revoked and deleted\n")
    assert oauth.refresh_tokens == set()
    assert "nobody is signed in" in run_cli("accounts").stdout
    assert run_cli("accounts", "--json").stdout == "[]\n"
    assert oauth.refusals == []


@pytest.mark.parametrize("sign_in", ["user", "robot"])
def test_tokens_that_end_in_the_middle_of_batches_cost_no_row(
    sign_in: str, run_cli: RunCli, oauth: FakeOAuthServer, guarded: FakeSearchConsole
) -> None:
    run_cli("login", "--client", CLIENT_FILE)
    backfill(run_cli, "--max-concurrency", 1, database="plain.db")
    asked, grants = len(guarded.calls), len(oauth.grants)
    # 40 queries in batches of 10, and each token serves for seven.
    guarded.access_tokens = ExpiringTokens(oauth, queries=7)
    credentials = ["--key-file", KEY_FILE] if sign_in == "robot" else ["--account", "default"]
    result = backfill(run_cli, "--batch-size", 10, "--json", *credentials, database="expiring.db")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["retries"] > 0
    assert len(oauth.grants) - grants > 3
    assert {call.status for call in guarded.calls[asked:]} == {200, 401}
    assert comparable_dump("expiring.db") == comparable_dump("plain.db")


def test_a_sign_in_that_is_revoked_in_mid_run_is_told_and_the_next_run_goes_on(
    run_cli: RunCli, oauth: FakeOAuthServer, guarded: FakeSearchConsole
) -> None:
    run_cli("login", "--client", CLIENT_FILE)

    class Revoking(ExpiringTokens):
        def __contains__(self, token: object) -> bool:
            if self.seen == 15:
                self.oauth.revoke_all()
            return super().__contains__(token)

    guarded.access_tokens = Revoking(oauth, queries=1_000)
    result = backfill(run_cli, "--batch-size", 10, "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert summary["status"] == "failed"
    assert summary["reason"] == (
        "account default was refused by Google (invalid_grant: Token has been expired or "
        "revoked.): run `gsc-trio login --account default` again"
    )
    assert 0 < summary["days"] < 40
    guarded.access_tokens = oauth.access_tokens
    assert run_cli("login").exit_code == 0  # with the client that was used before
    result = backfill(run_cli, "--json")
    assert json.loads(result.stdout)["days"] == 40 - summary["days"]


def test_a_rollout_asks_as_the_account_too(run_cli: RunCli, oauth: FakeOAuthServer) -> None:
    run_cli("login", "--client", CLIENT_FILE)
    oauth.revoke_all()
    result = run_cli("rollout", SITE, "--db", "gsc.db", "--days", 20, "--no-progress")
    assert result.exit_code == 1
    assert "account default was refused by Google" in result.output
    assert "run `gsc-trio login --account default` again" in result.output


def test_several_accounts(run_cli: RunCli, oauth: FakeOAuthServer) -> None:
    run_cli("login", "--client", CLIENT_FILE, "--account", "agency")
    result = run_cli("login", "--key-file", KEY_FILE, "--account", "robot")
    assert f"it sees 1 property: {SITE}" in result.stderr
    result = backfill(run_cli)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there are 2 accounts (agency, robot)" in result.stderr
    assert not Path("gsc.db").exists()
    assert run_cli("accounts", "--pin", SITE, "robot").exit_code == 0
    before = len(oauth.grants)
    assert backfill(run_cli).exit_code == 0
    assert oauth.grants[before:] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert run_cli("accounts", "--unpin", SITE).exit_code == 0
    assert backfill(run_cli).exit_code == 2
    assert backfill(run_cli, "--account", "agency").exit_code == 0
    result = run_cli("logout", "--all")
    assert result.stdout.splitlines() == [
        "account agency: revoked and deleted",
        "account robot: deleted from this machine",
    ]
    assert KEY_FILE.exists()


def test_an_account_of_the_environment(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSC_TRIO_ACCOUNT", "agency")
    run_cli("login", "--client", CLIENT_FILE)
    run_cli("login", "--client", CLIENT_FILE, "--account", "other")
    assert backfill(run_cli).exit_code == 0


def test_signing_in_again_keeps_nothing_old(run_cli: RunCli, oauth: FakeOAuthServer) -> None:
    run_cli("login", "--client", CLIENT_FILE)
    (old,) = oauth.refresh_tokens
    run_cli("login")
    assert old not in ACCOUNTS.read_text()
    assert len(oauth.refresh_tokens) == 2  # revoking one would revoke both, at Google


def test_a_sign_in_that_is_declined_changes_nothing(
    run_cli: RunCli, oauth: FakeOAuthServer
) -> None:
    oauth.consent = "declined"
    result = run_cli("login", "--client", CLIENT_FILE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the sign-in was declined in the browser" in result.stderr
    assert not ACCOUNTS.exists()


def test_a_logout_that_fails_deletes_nothing(run_cli: RunCli, oauth: FakeOAuthServer) -> None:
    run_cli("login", "--client", CLIENT_FILE)
    unreachable = json.loads(ACCOUNTS.read_text())
    # The port of nobody.
    unreachable["accounts"]["default"]["client"]["token_uri"] = "http://127.0.0.1:9/token"
    ACCOUNTS.write_text(json.dumps(unreachable))
    result = run_cli("logout")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot reach 127.0.0.1: ConnectError" in result.stderr
    assert "default" in run_cli("accounts").stdout
    result = run_cli("logout", "--keep-grant")
    assert (result.exit_code, result.stdout) == (0, "account default: deleted from this machine\n")
    assert len(oauth.refresh_tokens) == 1


def test_a_token_endpoint_out_of_reach_ends_the_run_with_the_cause(run_cli: RunCli) -> None:
    key = json.loads(KEY_FILE.read_text())
    KEY_FILE.write_text(json.dumps({**key, "token_uri": "http://127.0.0.1:9/token"}))
    settings = Path("settings.toml")
    settings.write_text("retry_budget = 1\nretry_initial_seconds = 0.0\n")
    result = backfill(run_cli, "--key-file", KEY_FILE, "--config", settings)
    assert result.exit_code == 1
    assert "no new access token: 127.0.0.1: ConnectError" in result.stdout


def test_googles_tokens_are_not_tried_on_another_address(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GSC_TRIO_API_ROOT")
    result = run_cli("login", "--client", CLIENT_FILE)
    assert result.exit_code == 0
    assert "it was not tried: its tokens are not for https://searchconsole.googleapis.com" in (
        result.stderr
    )


BAD = {
    "no client": ("login", "--client FILE; playbook/SIGN_IN.md"),
    "key as client": ("login --client robot.json", "but the key of a service account"),
    "client as key": ("login --key-file client.json", "but an OAuth client"),
    "both": ("login --key-file robot.json --client client.json", "give one of them"),
    "no such file": ("login --client no.json", "cannot read no.json"),
    "reserved name": ("login --client client.json --account application-default", "no account"),
    "no such account": ("logout --account x", "no account is called 'x': nobody is signed in"),
    "nobody": ("logout", "nobody is signed in"),
    "all and one": ("logout --all --account x", "exclude each other"),
    "pin to nobody": (f"accounts --pin {SITE} x", "no account is called 'x'"),
    "pin no site": ("accounts --pin example.com x", "is no Search Console prop"),
    "unpin": (f"accounts --unpin {SITE}", "no account is settled"),
    "backfill with client": (
        f"backfill {SITE} --db new.db --key-file client.json",
        "gsc-trio login --client FILE",
    ),
    "backfill as nobody": (f"backfill {SITE} --db new.db --account x", "nobody has signed in yet"),
    "backfill as two": (
        f"backfill {SITE} --db new.db --account x --key-file robot.json",
        "give one of them",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(
    arguments: str, message: str, run_cli: RunCli, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = run_cli(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_on_a_machine_without_a_browser_the_address_is_pasted(google: str) -> None:
    """In a process of its own, since the address is read from its stdin."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("DISPLAY")
    command = [sys.executable, "-m", "gsc_trio.cli", "login", "--client", str(CLIENT_FILE)]
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stderr.readline() == "open this address in a browser:\n"
            address = process.stderr.readline().strip()
            assert "paste that page's address here" in process.stderr.readline()
            redirect = httpx.get(address).headers["location"]
            process.stdin.write(f"not an address\n{redirect}\n")
            process.stdin.flush()
            # Its stdin stays open, and it ends nevertheless.
            began = time.monotonic()
            assert process.wait(timeout=20) == 0
            assert time.monotonic() - began < 20
        finally:
            process.kill()
        assert "signed in as account default" in process.stdout.read()
        assert "that is not the address" in process.stderr.read()
    assert ACCOUNTS.exists()
