"""The JSON files that Google hands out, told apart and explained.

They look alike and end in ``.json`` all of them: an OAuth client (what `gsc-trio login` needs), a
service account's key, and what gcloud writes for application-default credentials. Whoever gives
the wrong one is told which it is and what to do with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from gsc_trio.errors import UsageError

MAX_FILE_BYTES = 1_000_000
"""Far more than any of them has, so that a database that is given by mistake is not read."""

_EXPLANATIONS = {
    "installed": "an OAuth client, which signs nobody in by itself: use it once with "
    "`gsc-trio login --client FILE`",
    "web": "an OAuth client for web applications: in Google Cloud console, make one of the type "
    "Desktop app instead, and use it with `gsc-trio login --client FILE`",
    "service_account": "the key of a service account, which needs no browser: use it with "
    "`--key-file FILE`",
    "authorized_user": "a sign-in that gcloud keeps: use it with "
    "`--account application-default`, or sign in with `gsc-trio login --client FILE`",
    "external_account": "a workload identity: let GOOGLE_APPLICATION_CREDENTIALS name it and use "
    "`--account application-default`",
    "impersonated_service_account": "an impersonation of a service account: let "
    "GOOGLE_APPLICATION_CREDENTIALS name it and use `--account application-default`",
}
"""What a file of each kind is for, where it was given for something else."""


class OAuthClient(msgspec.Struct, frozen=True):
    """The OAuth client that people sign in with; their own, of the type Desktop app."""

    client_id: str
    client_secret: str
    auth_uri: str
    token_uri: str

    def __repr__(self) -> str:
        return f"OAuthClient(client_id={self.client_id!r})"

    @property
    def revoke_uri(self) -> str:
        """Where tokens are revoked: it is no part of Google's files, but lies beside the tokens."""
        return urljoin(self.token_uri, "revoke")


def is_google_host(address: str) -> bool:
    """Whether an address is one of Google's, to which Google's tokens may go."""
    host = urlsplit(address).hostname or ""
    return f".{host}".endswith((".googleapis.com", ".google.com"))


def read_client(path: Path) -> OAuthClient:
    """Read an OAuth client's file, as Google Cloud console gives it to download.

    Raises:
        UsageError: it cannot be read or is another kind of file; the message explains.
    """
    loaded = _load(path)
    if "installed" not in loaded:
        raise _wrong_kind(path, loaded, "the file of an OAuth client")
    try:
        client = msgspec.convert(loaded["installed"], OAuthClient)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is damaged: {error}") from None
    for name in ("auth_uri", "token_uri"):
        _check_address(getattr(client, name), f"{name} in {path}")
    return client


def read_service_account(path: Path) -> dict[str, Any]:
    """Read a service account's key file; whether the key itself is whole is google-auth's to say.

    Raises:
        UsageError: it cannot be read or is another kind of file; the message explains.
    """
    loaded = _load(path)
    if loaded.get("type") != "service_account":
        raise _wrong_kind(path, loaded, "the key file of a service account")
    for name in ("client_email", "private_key", "token_uri"):
        if not isinstance(loaded.get(name), str) or not loaded[name]:
            raise UsageError(f"{path} is damaged: it has no {name}; download a new key")
    _check_address(loaded["token_uri"], f"token_uri in {path}")
    return loaded


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{path} is too large to be a file with credentials")
    try:
        loaded = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Without the parser's words, which may show some of it.
        raise UsageError(f"{path} is no file with credentials: it is not valid JSON") from None
    if not isinstance(loaded, dict):
        raise UsageError(f"{path} is no file with credentials that Google hands out")
    return loaded


def _wrong_kind(path: Path, loaded: dict[str, Any], wanted: str) -> UsageError:
    kind = str(loaded.get("type", ""))
    kind = next((each for each in ("installed", "web") if each in loaded), kind)
    if kind in _EXPLANATIONS:
        return UsageError(f"{path} is not {wanted} but {_EXPLANATIONS[kind]}")
    return UsageError(f"{path} is not {wanted}, nor any other file that Google hands out for it")


def _check_address(address: str, source: str) -> None:
    """Refuse to send secrets where others can read them."""
    try:
        parts = urlsplit(address)
        is_fine = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
        )
    except ValueError:
        is_fine = False
    if not is_fine:
        raise UsageError(f"{source} is no address that begins with https://: no secret goes there")
