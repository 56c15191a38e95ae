"""The accounts file: for its owner alone, whole at every instant, and strict."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import threading
from pathlib import Path

import platformdirs
import pytest

from gsc_trio.credentials.accounts import AccountsFile, ServiceAccount, UserAccount
from gsc_trio.credentials.files import OAuthClient
from gsc_trio.errors import UsageError

CLIENT = OAuthClient("id", "client-s3cret", "https://a.example/auth", "https://a.example/token")
USER = UserAccount(CLIENT, "refresh-s3cret", dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
ROBOT = ServiceAccount("/keys/robot.json", "robot@example.com", "https://a.example/token")


@pytest.fixture
def stored(tmp_path: Path) -> AccountsFile:
    return AccountsFile(tmp_path / "new" / "config" / "accounts.json")


def test_what_is_put_is_there_for_the_next_program(stored: AccountsFile) -> None:
    assert stored.accounts() == {}
    stored.put("robot", ROBOT)
    stored.put("agency", USER)
    stored.pin("sc-domain:example.com", "agency")
    again = AccountsFile(stored.path)
    assert dict(again.accounts()) == {"agency": USER, "robot": ROBOT}
    assert dict(again.sites()) == {"sc-domain:example.com": "agency"}


def test_only_its_owner_can_read_it_whatever_the_umask(stored: AccountsFile) -> None:
    before = os.umask(0)
    try:
        stored.put("agency", USER)
        stored.put("agency", ROBOT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_refused(stored: AccountsFile) -> None:
    stored.put("agency", USER)
    stored.path.chmod(0o640)
    with pytest.raises(UsageError, match="open to other users of this machine: run chmod 600"):
        stored.accounts()
    with pytest.raises(UsageError, match="chmod 600"):
        stored.put("other", USER)


def test_to_forget_an_account_forgets_what_it_asked_for(stored: AccountsFile) -> None:
    stored.put("agency", USER)
    stored.put("robot", ROBOT)
    stored.pin("sc-domain:a.example", "agency")
    stored.pin("sc-domain:b.example", "robot")
    stored.delete("agency")
    assert list(stored.accounts()) == ["robot"]
    assert dict(stored.sites()) == {"sc-domain:b.example": "robot"}
    assert "s3cret" not in stored.path.read_text()
    stored.pin("sc-domain:b.example", None)
    assert stored.sites() == {}


def test_a_refresh_token_is_replaced_only_where_it_still_is_the_one(stored: AccountsFile) -> None:
    stored.put("agency", USER)
    stored.put("robot", ROBOT)
    stored.put_refresh_token("agency", "another", "newer")
    stored.put_refresh_token("robot", "refresh-s3cret", "newer")
    stored.put_refresh_token("missing", "refresh-s3cret", "newer")
    assert dict(stored.accounts()) == {"agency": USER, "robot": ROBOT}
    stored.put_refresh_token("agency", "refresh-s3cret", "newer")
    account = stored.accounts()["agency"]
    assert isinstance(account, UserAccount)
    assert account.refresh_token == "newer"


def test_many_that_write_at_once_all_succeed(stored: AccountsFile) -> None:
    def put(number: int) -> None:
        AccountsFile(stored.path).put(f"account-{number:02}", ROBOT)

    threads = [threading.Thread(target=put, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(stored.accounts()) == [f"account-{number:02}" for number in range(12)]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    stored: AccountsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.put("agency", USER)
    before = stored.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"cannot write the accounts to .*: No space left"):
        stored.put("robot", ROBOT)
    assert stored.path.read_bytes() == before
    names = sorted(path.name for path in stored.path.parent.iterdir())
    assert names == ["accounts.json", "accounts.json-lock"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("s3cret", "is damaged"),
        ('{"accounts": {"a": {"type": "user", "refresh_token": "s3cret"}}}', "is damaged"),
        ('{"accounts": {"a": {"type": "s3cret"}}}', "is damaged"),
        ('{"s3cret": 1}', "is damaged"),
        ('{"version": 2, "accounts": {}}', "written by a newer gsc-trio"),
        ("[" * 100_000, "is damaged"),
    ],
)
def test_a_damaged_file_is_refused_without_showing_it(
    content: str, message: str, stored: AccountsFile
) -> None:
    stored.path.parent.mkdir(parents=True)
    stored.path.write_text(content)
    stored.path.chmod(0o600)
    for use in (stored.accounts, lambda: stored.put("a", ROBOT)):
        with pytest.raises(UsageError, match=message) as caught:
            use()
        assert "s3cret" not in str(caught.value)
    assert stored.path.read_text() == content


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the accounts to"):
        AccountsFile(tmp_path / "file" / "accounts.json").put("a", ROBOT)
    with pytest.raises(UsageError, match="cannot read the accounts in"):
        AccountsFile(tmp_path).accounts()


@pytest.mark.parametrize("name", ["", " a", "a\n", "x" * 101, "application-default"])
def test_names_that_no_account_can_have(name: str, stored: AccountsFile) -> None:
    with pytest.raises(UsageError):
        stored.put(name, ROBOT)


def test_by_default_it_is_in_the_platforms_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platformdirs, "user_config_path", lambda app: tmp_path / app)
    assert AccountsFile().path == tmp_path / "gsc-trio" / "accounts.json"


def test_secrets_are_not_shown(stored: AccountsFile) -> None:
    stored.put("agency", USER)
    assert "s3cret" not in repr(stored.accounts())
    assert "s3cret" in json.dumps(stored.path.read_text())
