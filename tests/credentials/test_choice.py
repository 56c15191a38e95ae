"""Which credentials a command takes: what was named, else the only ones there are, else none."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from gsc_trio.config import Settings
from gsc_trio.credentials.accounts import AccountsFile, ServiceAccount, UserAccount
from gsc_trio.credentials.choice import choose_credentials
from gsc_trio.credentials.files import OAuthClient
from gsc_trio.credentials.token_source import GoogleTokenSource
from gsc_trio.errors import UsageError
from gsc_trio.testing import FakeOAuthServer

SITE = "sc-domain:example.com"
FAKE = "http://127.0.0.1:8765"
GOOGLE_TOKENS = "https://oauth2.googleapis.com/token"
FAKE_TOKENS = f"{FAKE}/oauth/token"


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AccountsFile:
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    return AccountsFile(tmp_path / "accounts.json")


def add(stored: AccountsFile, name: str, token_uri: str = GOOGLE_TOKENS) -> None:
    client = OAuthClient("id", "s3cret", "https://a.example/auth", token_uri)
    stored.put(name, UserAccount(client, "s3cret", dt.datetime.now(dt.UTC)))


def chosen(stored: AccountsFile, site_url: str = SITE, **values: Any) -> str | None:
    """Whose credentials are taken."""
    settings = Settings(accounts_file=str(stored.path), **values)
    source = choose_credentials(settings, site_url)
    if source is None:
        return None
    assert isinstance(source, GoogleTokenSource)
    return source.identity.name


def key_file(folder: Path) -> str:
    path = folder / "robot.json"
    path.write_text(json.dumps(FakeOAuthServer().key_file("https://a.example")))
    return str(path)


def test_an_access_token_comes_first(stored: AccountsFile) -> None:
    add(stored, "one")
    assert chosen(stored, access_token="x", account="one") is None


def test_what_is_named_is_taken(stored: AccountsFile, tmp_path: Path) -> None:
    add(stored, "one")
    add(stored, "two")
    assert chosen(stored, account="two") == "account two"
    assert chosen(stored, account="two", api_root=FAKE) == "account two"
    robot = "service account robot@fake-project.iam.gserviceaccount.com"
    assert chosen(stored, key_file=key_file(tmp_path)) == robot
    with pytest.raises(UsageError, match="account and key_file both say who asks"):
        chosen(stored, account="two", key_file="x")


def test_the_only_account_needs_no_naming(stored: AccountsFile) -> None:
    add(stored, "one")
    assert chosen(stored) == "account one"


def test_nobody_guesses_between_two(stored: AccountsFile) -> None:
    add(stored, "one")
    add(stored, "two")
    with pytest.raises(UsageError) as caught:
        chosen(stored)
    for word in (
        "2 accounts (one, two)",
        "--account NAME",
        "GSC_TRIO_ACCOUNT",
        f"--pin {SITE} NAM",
    ):
        assert word in str(caught.value)
    stored.pin(SITE, "two")
    assert chosen(stored) == "account two"
    with pytest.raises(UsageError, match="2 accounts"):
        chosen(stored, "sc-domain:other.example")


def test_googles_tokens_go_to_google_and_a_fakes_to_others(stored: AccountsFile) -> None:
    add(stored, "real")
    assert chosen(stored, api_root=FAKE) is None
    add(stored, "try", FAKE_TOKENS)
    assert chosen(stored) == "account real"
    assert chosen(stored, api_root=FAKE) == "account try"
    # Also where one is settled for the property.
    stored.pin(SITE, "real")
    assert chosen(stored, api_root=FAKE) == "account try"
    assert chosen(stored, api_root="https://googleapis.com.evil.example") == "account try"


def test_a_stored_service_account_reads_its_key_file_each_time(
    stored: AccountsFile, tmp_path: Path
) -> None:
    path = key_file(tmp_path)
    stored.put("robot", ServiceAccount(path, "robot@example.com", GOOGLE_TOKENS))
    assert chosen(stored) == "service account robot@fake-project.iam.gserviceaccount.com"
    Path(path).unlink()
    with pytest.raises(UsageError, match=r"cannot read .*robot.json: No such file"):
        chosen(stored)


def test_an_unknown_account_names_those_that_are_there(stored: AccountsFile) -> None:
    with pytest.raises(UsageError, match="no account is called 'x': nobody has signed in yet"):
        chosen(stored, account="x")
    add(stored, "one")
    with pytest.raises(UsageError, match="no account is called 'x': there are one"):
        chosen(stored, account="x")


def test_application_default_credentials_come_last(
    stored: AccountsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="not signed in: run `gsc-trio login"):
        chosen(stored)
    assert chosen(stored, api_root=FAKE) is None
    (tmp_path / "gcloud").mkdir()
    (tmp_path / "gcloud" / "application_default_credentials.json").write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "x",
                "client_secret": "s3cret",
                "refresh_token": "s3cret",
                "quota_project_id": "mine",
            }
        )
    )
    assert chosen(stored) == "application-default"
    add(stored, "one")
    assert chosen(stored) == "account one"
    assert chosen(stored, account="application-default") == "application-default"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", key_file(tmp_path))
    stored.delete("one")
    assert chosen(stored) == "application-default"


@pytest.mark.parametrize(
    "content", [None, "s3cret", '{"type": "odd"}', '{"type": "authorized_user"}']
)
def test_application_default_credentials_that_are_none(
    content: str | None, stored: AccountsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "adc.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(UsageError, match="no application-default credentials: ") as caught:
        chosen(stored)
    assert "gcloud auth application-default login --scopes=" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
