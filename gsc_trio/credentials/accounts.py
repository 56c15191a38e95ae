"""The accounts that are signed in, in one file that only its owner can read.

Responsible for: reading it strictly, and changing it under a lock, so that two programs that
change it at once both succeed, and atomically, so that a crash leaves the old or the new one.
Must never: write a secret to any other file, or widen who may read this one.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import platformdirs

from gsc_trio.credentials.files import OAuthClient
from gsc_trio.errors import UsageError
from gsc_trio.whole_files import written_whole

APPLICATION_DEFAULT = "application-default"
"""What is given as an account's name to take Google's application-default credentials."""

DEFAULT_NAME = "default"
"""What an account is called when nobody names it."""

_VERSION = 1


class UserAccount(msgspec.Struct, frozen=True, tag="user"):
    """A person who signed in with a browser."""

    client: OAuthClient
    refresh_token: str
    signed_in_at: dt.datetime

    def __repr__(self) -> str:
        return f"UserAccount(client={self.client!r}, signed_in_at={self.signed_in_at:%Y-%m-%d})"


class ServiceAccount(msgspec.Struct, frozen=True, tag="service-account"):
    """A service account; its key stays in its file."""

    key_file: str
    client_email: str
    token_uri: str


Account = UserAccount | ServiceAccount


def token_uri_of(account: Account) -> str:
    """Where an account's access tokens come from, which tells Google's from a fake's."""
    return account.client.token_uri if isinstance(account, UserAccount) else account.token_uri


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    version: int = _VERSION
    accounts: dict[str, Account] = {}
    sites: dict[str, str] = {}


class AccountsFile:
    """The file of accounts. It need not be there; methods block, but only for a moment.

    Args:
        path: the file; by default ``accounts.json`` in the platform's configuration folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or platformdirs.user_config_path("gsc-trio") / "accounts.json"
        """Where it is."""

    def accounts(self) -> Mapping[str, Account]:
        """All accounts by name, in the order of their names.

        Raises:
            UsageError: the file cannot be read, others may read it, or it is damaged.
        """
        return dict(sorted(self._read().accounts.items()))

    def sites(self) -> Mapping[str, str]:
        """Which account asks for which property, where that is settled.

        Raises:
            UsageError: as for `accounts`.
        """
        return dict(sorted(self._read().sites.items()))

    def put(self, name: str, account: Account) -> None:
        """Keep an account, in place of one with the same name.

        Raises:
            UsageError: the name cannot be one, or the file cannot be read or written.
        """
        check_name(name)
        with self._changed() as content:
            content.accounts[name] = account

    def put_refresh_token(self, name: str, old: str, new: str) -> None:
        """Keep the refresh token that Google gave instead of another, if that is still kept.

        Raises:
            UsageError: the file cannot be read or written.
        """
        with self._changed() as content:
            account = content.accounts.get(name)
            if isinstance(account, UserAccount) and account.refresh_token == old:
                content.accounts[name] = msgspec.structs.replace(account, refresh_token=new)

    def delete(self, name: str) -> None:
        """Forget an account and which properties it asks for.

        Raises:
            UsageError: the file cannot be read or written.
        """
        with self._changed() as content:
            content.accounts.pop(name, None)
            for site_url in [site for site, pinned in content.sites.items() if pinned == name]:
                del content.sites[site_url]

    def pin(self, site_url: str, name: str | None) -> None:
        """Settle which account asks for a property; None leaves it open again.

        Raises:
            UsageError: the file cannot be read or written.
        """
        with self._changed() as content:
            content.sites.pop(site_url, None)
            if name is not None:
                content.sites[site_url] = name

    def _read(self) -> _Content:
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read()
        except FileNotFoundError:
            return _Content()
        except OSError as error:
            raise UsageError(f"cannot read the accounts in {self.path}: {error.strerror}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{self.path} holds secrets and is open to other users of this machine: "
                f"run chmod 600 {self.path}"
            )
        try:
            loaded = msgspec.json.decode(content, type=_Content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Without the parser's words, which may show some of it.
            raise UsageError(
                f"{self.path} is damaged, or was written by a newer gsc-trio: move it away and "
                "sign in again with `gsc-trio login`"
            ) from None
        if loaded.version != _VERSION:
            raise UsageError(f"{self.path} was written by a newer gsc-trio: install that one")
        return loaded

    @contextmanager
    def _changed(self) -> Iterator[_Content]:
        """The content, to be changed in the body and written after it."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                content = self._read()
                yield content
                self._write(content)
        except OSError as error:
            raise UsageError(
                f"cannot write the accounts to {self.path}: {error.strerror}"
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(f"{self.path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, content: _Content) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        with written_whole(self.path, is_private=True) as file:
            file.write(encoded)


def check_name(name: str) -> None:
    """Refuse what cannot be an account's name.

    Raises:
        UsageError: it says what can.
    """
    if name == APPLICATION_DEFAULT:
        raise UsageError(
            f"no account can be called {APPLICATION_DEFAULT}: that stands for Google's own"
        )
    if not name or not name.isprintable() or name != name.strip() or len(name) > 100:
        raise UsageError(f"{name!r} is no name for an account: use letters and digits")
