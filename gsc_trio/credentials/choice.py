"""Which credentials a command takes, from its settings and what is stored on this machine.

In this order: the access token of the settings; the key file or the account that is named; the
account that is settled for the property; the only account that is stored; application-default
credentials. Nobody guesses between two accounts.

Google's tokens go to another address only when somebody names the account: what is found by
looking around is taken for Google's address, and a fake's accounts for any other.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from gsc_trio.access import TokenSource
from gsc_trio.config import Settings
from gsc_trio.config_sources import environment_variable
from gsc_trio.credentials.accounts import (
    APPLICATION_DEFAULT,
    AccountsFile,
    ServiceAccount,
    UserAccount,
    token_uri_of,
)
from gsc_trio.credentials.files import is_google_host, read_service_account
from gsc_trio.credentials.token_source import SCOPE, GoogleTokenSource, Identity
from gsc_trio.errors import UsageError

GOOGLE_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


def accounts_file(settings: Settings) -> AccountsFile:
    """The file of accounts that the settings name."""
    return AccountsFile(Path(settings.accounts_file) if settings.accounts_file else None)


def choose_credentials(settings: Settings, site_url: str = "") -> TokenSource | None:
    """What gives access tokens for a command.

    Args:
        settings: what was asked for.
        site_url: the property, for which an account may be settled; empty if it is about none.

    Returns:
        A source; None if the settings' token is all there is, or if none is needed.

    Raises:
        UsageError: there are no credentials for Google, too many, or they are unusable; it says
            what to do.
    """
    if settings.access_token:
        return None
    if settings.key_file and settings.account:
        raise UsageError("account and key_file both say who asks: give one of them")
    if settings.key_file:
        return service_account_source(Path(settings.key_file))
    if settings.account == APPLICATION_DEFAULT:
        return application_default_source()
    stored = accounts_file(settings)
    if name := settings.account or _stored_name(stored, settings, site_url):
        return source_of(stored, name)
    if not is_google_host(settings.api_root):
        return None
    if _google_file():
        return application_default_source()
    raise UsageError(
        "not signed in: run `gsc-trio login --client FILE`, or give --key-file FILE for a service "
        f"account, or set {environment_variable('access_token')} to a token for the scope {SCOPE}, "
        "as from https://developers.google.com/oauthplayground or `gcloud auth "
        f"print-access-token --scopes={SCOPE}`. playbook/SIGN_IN.md explains each"
    )


def settings_of_account(settings: Settings, account: str | None) -> Settings:
    """The settings for what a settings file gives to an account; None leaves them as they are."""
    if account is None:
        return settings
    return attrs.evolve(settings, account=account, key_file=None)


def choose_credentials_for(
    settings: Settings, site_urls: Iterable[str]
) -> Mapping[str, TokenSource | None]:
    """The same for many properties; those of one account have one source, so it is renewed once.

    Args:
        settings: what was asked for.
        site_urls: the properties.

    Raises:
        UsageError: as for `choose_credentials`.
    """
    if settings.access_token or settings.key_file or settings.account:
        return dict.fromkeys(site_urls, choose_credentials(settings))
    stored = accounts_file(settings)
    names, pinned = _stored_names(stored, settings), stored.sites()
    sources: dict[str | None, TokenSource | None] = {}
    chosen: dict[str, TokenSource | None] = {}
    for site_url in site_urls:
        name = _name_for(names, pinned, site_url)
        if name not in sources:
            sources[name] = source_of(stored, name) if name else choose_credentials(settings)
        chosen[site_url] = sources[name]
    return chosen


def _stored_name(stored: AccountsFile, settings: Settings, site_url: str) -> str | None:
    """The stored account to take when nobody named one; None if there is none.

    Raises:
        UsageError: there are several.
    """
    return _name_for(_stored_names(stored, settings), stored.sites(), site_url)


def _stored_names(stored: AccountsFile, settings: Settings) -> Sequence[str]:
    """The accounts that are for the address that is asked."""
    is_google = is_google_host(settings.api_root)
    return [
        name
        for name, account in stored.accounts().items()
        if is_google_host(token_uri_of(account)) == is_google
    ]


def _name_for(names: Sequence[str], sites: Mapping[str, str], site_url: str) -> str | None:
    pinned = sites.get(site_url)
    if pinned in names:
        return pinned
    if len(names) > 1:
        raise UsageError(
            f"there are {len(names)} accounts ({', '.join(names)}): choose one with "
            f"--account NAME or {environment_variable('account')}, or settle it with "
            f"`gsc-trio accounts --pin {site_url or 'SITE'} NAME`"
        )
    return names[0] if names else None


def source_of(stored: AccountsFile, name: str) -> GoogleTokenSource:
    """Access tokens for a stored account.

    Raises:
        UsageError: there is no such account, or its key file is unusable.
    """
    accounts = stored.accounts()
    if name not in accounts:
        known = f"there are {', '.join(accounts)}" if accounts else "nobody has signed in yet"
        raise UsageError(f"no account is called {name!r}: {known}; `gsc-trio login` adds one")
    account = accounts[name]
    if isinstance(account, ServiceAccount):
        return service_account_source(Path(account.key_file))
    return _user_source(stored, name, account)


def service_account_source(path: Path) -> GoogleTokenSource:
    """Access tokens for a service account.

    Raises:
        UsageError: its key file is unusable.
    """
    content = read_service_account(path)
    from google.oauth2 import service_account  # takes half a second to load

    try:
        credentials = service_account.Credentials.from_service_account_info(content, scopes=[SCOPE])
    except ValueError:
        # Without the words of what read it, which may show some of it.
        raise UsageError(f"the private key in {path} is damaged: download a new one") from None
    return GoogleTokenSource(
        credentials,
        Identity(
            f"service account {content['client_email']}",
            remedy="look whether it and this key still exist, or download a new key",
            signs=True,
            secrets=(content["private_key"],),
        ),
    )


def application_default_source() -> GoogleTokenSource:
    """Access tokens from Google's application-default credentials.

    Without a file, the network is asked whether this machine is one of Google's.

    Raises:
        UsageError: there are none, or they are unusable.
    """
    import google.auth  # takes long to load
    import google.auth.exceptions

    from gsc_trio.credentials.google_transport import HttpxRequest

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are about other APIs
            if path := _google_file():
                # Without asking gcloud for a project, which takes seconds and is not needed.
                credentials, _ = google.auth.load_credentials_from_file(
                    str(path), scopes=[SCOPE], request=HttpxRequest()
                )
            else:
                credentials, _ = google.auth.default(scopes=[SCOPE], request=HttpxRequest())
            if hasattr(credentials, "with_quota_project_from_environment"):
                credentials = credentials.with_quota_project_from_environment()
    except google.auth.exceptions.GoogleAuthError as error:
        reason = str(error).split(". ")[0].split("\n")[0].rstrip(".")
        named = os.environ.get(GOOGLE_FILE_VARIABLE)
        where = f" ({GOOGLE_FILE_VARIABLE} names it)" if named else ""
        raise UsageError(
            f"no application-default credentials: {reason}{where}; make them with "
            f"`gcloud auth application-default login --scopes={SCOPE},"
            "https://www.googleapis.com/auth/cloud-platform`"
        ) from None
    return GoogleTokenSource(
        credentials,
        Identity(
            APPLICATION_DEFAULT,
            remedy="run `gcloud auth application-default login` again, with the scope "
            f"{SCOPE}, or look at the file that {GOOGLE_FILE_VARIABLE} names",
            signs=hasattr(credentials, "service_account_email"),
            secrets=_secrets_of(credentials),
        ),
    )


def _user_source(stored: AccountsFile, name: str, account: UserAccount) -> GoogleTokenSource:
    from google.oauth2.credentials import Credentials  # takes half a second to load

    credentials = Credentials(
        None,
        refresh_token=account.refresh_token,
        client_id=account.client.client_id,
        client_secret=account.client.client_secret,
        token_uri=account.client.token_uri,
    )

    def keep(old: str, new: str) -> None:
        stored.put_refresh_token(name, old, new)

    return GoogleTokenSource(
        credentials,
        Identity(
            f"account {name}",
            remedy=f"run `gsc-trio login --account {name}` again",
            secrets=(account.refresh_token, account.client.client_secret),
        ),
        keep_refresh_token=keep,
    )


def _secrets_of(credentials: Any) -> tuple[str, ...]:
    names = ("refresh_token", "client_secret")
    return tuple(filter(None, (getattr(credentials, name, None) for name in names)))


def _google_file() -> Path | None:
    """The file with application-default credentials, if they are in one.

    Source: google-auth, `google.auth.default` and gcloud's configuration folder.
    """
    if named := os.environ.get(GOOGLE_FILE_VARIABLE):
        return Path(named)
    folder = os.environ.get("CLOUDSDK_CONFIG")
    path = Path(folder) if folder else Path.home() / ".config" / "gcloud"
    path /= "application_default_credentials.json"
    return path if path.is_file() else None
