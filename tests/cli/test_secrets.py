"""No secret is written anywhere but where it belongs, however a run ends.

Runs fail in every way that has to do with credentials, with all logging on and pages spilled to a
file that is kept. Then everything that was written is searched for every secret there ever was.
"""

from __future__ import annotations

import gzip
import json
import logging
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gsc_trio.cli import main
from gsc_trio.client import SearchConsole
from gsc_trio.scratch_file import ScratchFile
from gsc_trio.testing import FakeOAuthServer, FakeSearchConsole, SimulatedProperty
from gsc_trio.testing.answers import Answer
from gsc_trio.testing.faults import Fault, Refuse
from gsc_trio.testing.transport import App
from tests.cli.sign_in import CLIENT_FILE, KEY_FILE, Browser, ExpiringTokens, write_files

SITE = "sc-domain:example.com"
ACCOUNT = "an-account-of-a-person"
STATIC_TOKEN = "a-static-token-that-nobody-may-see"
BACKFILL = f"backfill {SITE} --db gsc.db --days 60 --batch-size 10 --config settings.toml"
Serve = Callable[[App], str]


class Stage:
    """A fake Google, and everything that was written while commands ran."""

    def __init__(self, serve: Serve) -> None:
        self.oauth = FakeOAuthServer()
        self.fake = FakeSearchConsole(
            [SimulatedProperty(SITE, rows_per_day=50)],
            access_tokens=self.oauth.access_tokens,
            part_order="reversed",  # so that pages wait for each other, and are spilled
        )
        self.api_root = serve(self.oauth.in_front_of(self.fake))
        write_files(self.oauth, self.api_root)
        self.written: list[str] = []
        self.spilled: list[bytes] = []

    def run(self, arguments: str) -> int:
        """Run a command; keeps what it printed, or the traceback of what it raised."""
        result = CliRunner().invoke(main, arguments.split())
        self.written += [result.stdout, result.stderr]
        if result.exception is not None:
            self.written += traceback.format_exception(result.exception)
        return result.exit_code

    def secrets(self) -> set[str]:
        key = json.loads(KEY_FILE.read_text())["private_key"].splitlines()[1:-1]
        return {*self.oauth.issued, self.oauth.client_secret, STATIC_TOKEN, *key}


@pytest.fixture
def stage(
    serve: Serve, clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    stage = Stage(serve)
    write_at = ScratchFile.write

    def write_and_keep(spill: ScratchFile, content: bytes, offset: int) -> None:
        stage.spilled.append(content)
        write_at(spill, content, offset)

    monkeypatch.setattr(ScratchFile, "write", write_and_keep)
    Path("settings.toml").write_text(
        "max_waiting_bytes = 1\nretry_budget = 20\nretry_initial_seconds = 0.0\n"
    )
    monkeypatch.setenv("GSC_TRIO_API_ROOT", stage.api_root)
    monkeypatch.setenv("DISPLAY", ":0")
    browser = Browser()
    monkeypatch.setattr("webbrowser.open", browser.open)
    yield stage
    browser.close()


def no_failure(stage: Stage) -> None:
    assert stage.run(BACKFILL) == 0


def recorded(stage: Stage) -> None:
    stage.fake.access_tokens = ExpiringTokens(stage.oauth, queries=7)
    assert stage.run(f"{BACKFILL} --record whole.cassette") == 0
    assert stage.run(f"login --client {CLIENT_FILE} --account {ACCOUNT}") == 0
    command = f"{BACKFILL} --dimensions query --account {ACCOUNT} --record named.cassette"
    assert stage.run(command) == 0
    stage.oauth.revoke_all()
    assert (
        stage.run(f"{BACKFILL} --account {ACCOUNT} --record none.cassette --dimensions page") == 1
    )


def expired_in_mid_batch(stage: Stage) -> None:
    stage.fake.access_tokens = ExpiringTokens(stage.oauth, queries=7)
    assert stage.run(BACKFILL) == 0


def revoked(stage: Stage) -> None:
    stage.oauth.revoke_all()
    assert stage.run(BACKFILL) == 1
    assert stage.run("logout") == 0


def refused_with_an_echo_of_all_that_was_sent(stage: Stage) -> None:
    (refresh_token,) = stage.oauth.refresh_tokens
    echo = f"bad: {refresh_token} {stage.oauth.client_secret}"
    content = json.dumps({"error": "odd", "error_description": echo}).encode()
    stage.oauth.failures.append(Answer(400, content))
    assert stage.run(BACKFILL) == 1


def token_endpoint_down(stage: Stage) -> None:
    Path("settings.toml").write_text("retry_budget = 1\nretry_initial_seconds = 0.0\n")
    stage.oauth.failures += [Answer(503, b"{}") for _ in range(100)]
    assert stage.run(BACKFILL) == 1


def search_console_refuses_every_token_and_repeats_it(stage: Stage) -> None:
    stage.run(f"{BACKFILL} --days 1")
    token = next(iter(stage.oauth.expires_at))
    stage.fake._script.faults.append(Fault(Refuse(401, "authError", f"bad {token}"), times=999))
    assert stage.run(BACKFILL) == 1


def static_token(stage: Stage) -> None:
    assert stage.run(f"{BACKFILL} --access-token {STATIC_TOKEN}") == 1


def static_token_that_is_none(stage: Stage) -> None:
    assert stage.run(f"{BACKFILL} --access-token {STATIC_TOKEN}\u00e9") == 2


def service_account(stage: Stage) -> None:
    assert stage.run(f"{BACKFILL} --key-file {KEY_FILE}") == 0
    stage.oauth.clock = lambda: time.time() - 720
    assert stage.run(f"{BACKFILL} --key-file {KEY_FILE} --dimensions page") == 1
    key = json.loads(KEY_FILE.read_text())
    damaged = Path("damaged.json")
    damaged.write_text(json.dumps({**key, "private_key": key["private_key"][:-100]}))
    assert stage.run(f"{BACKFILL} --key-file {damaged}") == 2
    assert stage.run(f"login --client {KEY_FILE}") == 2
    damaged.unlink()


def login_that_fails(stage: Stage) -> None:
    stage.oauth.consent = "without scope"
    assert stage.run("login") == 1
    stage.oauth.consent = "granted"
    stage.oauth.failures.append(Answer(200, b"<html>"))
    assert stage.run("login") == 1
    stage.oauth.client_secret += "-new"
    assert stage.run("login") == 1


def damaged_accounts(stage: Stage) -> None:
    accounts = Path("config", "accounts.json")
    content = accounts.read_text()
    accounts.write_text(content[:-9])
    for command in (BACKFILL, "accounts", "logout", "login"):
        assert stage.run(command) == 2
    accounts.write_text(content.replace('"version": 1', '"version": 9'))
    assert stage.run("accounts") == 2
    accounts.chmod(0o644)
    assert stage.run("accounts") == 2


def a_fault_of_this_program(stage: Stage) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SearchConsole, "_decode", broken)
        assert stage.run(BACKFILL) == 1


def members_of(cassette: Path) -> dict[str, bytes]:
    """What is in a cassette, decompressed; it has no account's name either."""
    with zipfile.ZipFile(cassette) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, content in members.items():
        members[name] = gzip.decompress(content) if name.endswith(".gz") else content
        assert ACCOUNT.encode() not in members[name]
    return members


@pytest.mark.parametrize(
    "fail",
    [
        no_failure,
        recorded,
        expired_in_mid_batch,
        revoked,
        refused_with_an_echo_of_all_that_was_sent,
        token_endpoint_down,
        search_console_refuses_every_token_and_repeats_it,
        static_token,
        static_token_that_is_none,
        service_account,
        login_that_fails,
        damaged_accounts,
        a_fault_of_this_program,
    ],
)
def test_no_secret_is_written_where_it_does_not_belong(
    fail: Callable[[Stage], None], stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert stage.run(f"login --client {CLIENT_FILE}") == 0
        fail(stage)
        stage.run("accounts --json")
        stage.run("status --db gsc.db --json")
    own = {CLIENT_FILE.absolute(), KEY_FILE.absolute(), tmp_path / "config" / "accounts.json"}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path not in own]
    written = {str(path): path.read_bytes() for path in files}
    for path in filter(zipfile.is_zipfile, files):
        written.update(members_of(path))
    written["the terminal"] = "\n".join(stage.written).encode()
    written["the spill"] = b"".join(stage.spilled)
    written["the logs"] = caplog.text.encode()
    if fail is recorded:
        assert sum(place.startswith("bodies/") for place in written) >= 60
        assert "none.cassette" not in {path.name for path in files}
    secrets = stage.secrets()
    assert len(secrets) > 25
    for place, content in written.items():
        for secret in secrets:
            assert secret.encode() not in content, place
    if fail is no_failure:  # the search would find something in each of the places
        assert {path.name for path in files} >= {"gsc.db", "settings.toml", "accounts.json-lock"}
        assert stage.spilled
        assert "httpx" in caplog.text
        own_secrets = (tmp_path / "config" / "accounts.json").read_text()
        assert any(secret in own_secrets for secret in secrets)
