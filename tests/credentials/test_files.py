"""Files that Google hands out: the right one is read, every other is explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gsc_trio.credentials.choice import service_account_source
from gsc_trio.credentials.files import read_client, read_service_account
from gsc_trio.errors import UsageError
from gsc_trio.testing import FakeOAuthServer

ROOT = "https://accounts.example"
OAUTH = FakeOAuthServer()
CLIENT = OAUTH.client_file(ROOT)
KEY = OAUTH.key_file(ROOT)
AUTHORIZED_USER = {"type": "authorized_user", "refresh_token": "s3cret", "client_id": "x"}


def write(folder: Path, content: object) -> Path:
    path = folder / "credentials.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_an_oauth_client_is_read(tmp_path: Path) -> None:
    client = read_client(write(tmp_path, CLIENT))
    assert client.client_id == OAUTH.client_id
    assert client.revoke_uri == f"{ROOT}/oauth/revoke"
    assert OAUTH.client_secret not in repr(client)


def test_googles_own_client_is_revoked_at_googles_address(tmp_path: Path) -> None:
    # The addresses as they stand in the files of Google Cloud console.
    installed = {
        **CLIENT["installed"],
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    client = read_client(write(tmp_path, {"installed": installed}))
    assert client.revoke_uri == "https://oauth2.googleapis.com/revoke"


def test_a_service_account_is_read(tmp_path: Path) -> None:
    assert read_service_account(write(tmp_path, KEY)) == KEY


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_client, KEY, "but the key of a service account.*--key-file FILE"),
        (read_client, AUTHORIZED_USER, "but a sign-in that gcloud keeps.*application-default"),
        (read_client, {"web": CLIENT["installed"]}, "for web applications.*Desktop app"),
        (read_client, {"type": "external_account"}, "a workload identity"),
        (read_client, {"something": "else"}, "not the file of an OAuth client, nor any other"),
        (read_client, {"installed": {"client_id": "x"}}, "is damaged.*auth_uri|client_secret"),
        (read_client, {"installed": [1]}, "is damaged"),
        (read_service_account, CLIENT, "but an OAuth client.*login --client FILE"),
        (read_service_account, AUTHORIZED_USER, "but a sign-in that gcloud keeps"),
        (read_service_account, {**KEY, "private_key": None}, "has no private_key"),
        (read_service_account, {**KEY, "client_email": ""}, "has no client_email"),
        (read_service_account, [KEY], "no file with credentials that Google hands out"),
        (read_service_account, "s3cret{", "not valid JSON"),
        (read_service_account, "", "not valid JSON"),
        (read_client, "[" * 100_000, "not valid JSON"),
        (read_client, " " * 1_000_001, "too large"),
        (read_client, {"installed": {**CLIENT["installed"], "token_uri": "http://a.b/"}}, "https"),
        (read_service_account, {**KEY, "token_uri": "http://[x/"}, "begins with https://"),
        (service_account_source, {**KEY, "private_key": "s3cret"}, "private key in .* is damaged"),
        (
            service_account_source,
            {**KEY, "private_key": KEY["private_key"].replace("M", "s3cret")},
            "private key in .* is damaged",
        ),
    ],
)
def test_every_other_file_is_explained(
    read: Callable[[Path], Any], content: object, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    for secret in ("s3cret", "PRIVATE KEY", OAUTH.client_secret):
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*missing.json: No such file"):
        read_client(tmp_path / "missing.json")
    with pytest.raises(UsageError, match="Is a directory"):
        read_service_account(tmp_path)
