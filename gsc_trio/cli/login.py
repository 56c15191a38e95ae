"""``gsc-trio login``: sign in with a browser, or make a service account known by a name."""

from __future__ import annotations

import datetime as dt
import os
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

import attrs
import click
import trio

from gsc_trio.cli.accounts import accounts_text
from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.output import say, tell
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.config_sources import load_settings
from gsc_trio.credentials.accounts import (
    DEFAULT_NAME,
    AccountsFile,
    ServiceAccount,
    UserAccount,
    check_name,
    token_uri_of,
)
from gsc_trio.credentials.choice import accounts_file, service_account_source, source_of
from gsc_trio.credentials.files import (
    OAuthClient,
    is_google_host,
    read_client,
    read_service_account,
)
from gsc_trio.credentials.login import Person, sign_in
from gsc_trio.errors import ApiError, UsageError

HELP = """Sign in, so that other commands may read Search Console data.

A browser opens, you choose a Google account and allow gsc-trio to read (never to change) Search
Console data. What that gives is kept in a file that only you can read, until `gsc-trio logout`.

The first time, --client names the file of your own OAuth client: in Google Cloud console make a
project, enable the Search Console API, set up the consent screen, create an OAuth client of the
type Desktop app, and download its JSON. It is kept with the account. playbook/SIGN_IN.md shows
each step.

On a machine without a browser use --no-browser: open the address that is printed on any machine,
and paste the address of the page that it ends at.

\b
Examples:
  gsc-trio login --client client_secret.json
  gsc-trio login                                  # again, when the sign-in has ended
  gsc-trio login --account agency --client client_secret.json
  gsc-trio login --no-browser
  gsc-trio login --key-file robot.json --account robot   # a service account: no browser
  gsc-trio login --list

\b
Exit codes: 0 signed in, 1 declined or not reachable, 2 wrong usage, 130 interrupted.
"""


@click.command("login", help=HELP, short_help="Sign in with a Google account.")
@click.option(
    "--account",
    "name",
    metavar="NAME",
    help=f"What to call the account; by default GSC_TRIO_ACCOUNT or {DEFAULT_NAME}.",
)
@click.option(
    "--client",
    "client_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The JSON file of your OAuth client; needed the first time.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key file of a service account; it stays where it is.",
)
@click.option(
    "--browser/--no-browser",
    "wants_browser",
    default=True,
    show_default=True,
    help="Open a browser, or print the address to open.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    metavar="N",
    help="The port of this machine that the browser comes back to; by default a free one.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0.1),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for you.",
)
@click.option("--list", "wants_list", is_flag=True, help="List the accounts instead.")
def command(
    *,
    name: str | None,
    client_file: Path | None,
    key_file: Path | None,
    wants_browser: bool,
    port: int,
    timeout_seconds: float,
    wants_list: bool,
) -> int:
    """Sign in, keep it, try it."""
    settings = load_settings()
    stored = accounts_file(settings)
    if wants_list:
        say(accounts_text(stored))
        return COMPLETE
    name = name or settings.account or DEFAULT_NAME
    check_name(name)
    if key_file is not None:
        if client_file is not None:
            raise UsageError("--client and --key-file are two ways to sign in: give one of them")
        _keep_service_account(stored, name, key_file)
    else:
        client = _choose_client(stored, name, client_file)
        person = Person(tell, _open_browser if wants_browser else _open_nothing, _read_line)

        async def sign_in_by_browser() -> str:
            tokens = await sign_in(client, person, port=port, timeout_seconds=timeout_seconds)
            return tokens.refresh_token

        refresh_token = trio.run(sign_in_by_browser)
        stored.put(name, UserAccount(client, refresh_token, dt.datetime.now(dt.UTC)))
    say(f"signed in as account {name}, kept in {stored.path}")
    tell(trio.run(_first_look, settings, stored, name))
    return COMPLETE


def _keep_service_account(stored: AccountsFile, name: str, key_file: Path) -> None:
    content = read_service_account(key_file)
    service_account_source(key_file)  # refuses a damaged key
    path = str(key_file.resolve())
    stored.put(name, ServiceAccount(path, content["client_email"], content["token_uri"]))


def _choose_client(stored: AccountsFile, name: str, client_file: Path | None) -> OAuthClient:
    """The OAuth client that was named, or the one that was used before."""
    if client_file is not None:
        return read_client(client_file)
    accounts = stored.accounts()
    users = [each for each in accounts.values() if isinstance(each, UserAccount)]
    account = accounts.get(name)
    if isinstance(account, UserAccount):
        return account.client
    clients = {each.client.client_id: each.client for each in users}
    if len(clients) == 1:
        return next(iter(clients.values()))
    raise UsageError(
        "which OAuth client? Give the JSON file of yours with --client FILE; playbook/SIGN_IN.md "
        "says how to make one in Google Cloud console, in five minutes"
    )


async def _first_look(settings: Settings, stored: AccountsFile, name: str) -> str:
    """What the account sees. That it is signed in does not depend on it."""
    token_uri = token_uri_of(stored.accounts()[name])
    if is_google_host(settings.api_root) != is_google_host(token_uri):
        return f"it was not tried: its tokens are not for {settings.api_root}"
    settings = attrs.evolve(settings, access_token=None)
    async with open_search_console(settings, credentials=source_of(stored, name)) as client:
        try:
            sites = await client.list_sites()
        except ApiError as error:
            return f"but Search Console cannot be read with it yet: {error}"
    names = ", ".join(sorted(site.site_url for site in sites)[:5])
    if not sites:
        return "it sees no property: add it as a user in Search Console"
    noun = "property" if len(sites) == 1 else "properties"
    return f"it sees {len(sites):,} {noun}: {names}{', …' if len(sites) > 5 else ''}"


def _open_browser(address: str) -> bool:
    """Open a browser, unless it would be one in this terminal or on no screen at all."""
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if sys.platform.startswith("linux") and not has_screen:
        return False
    return webbrowser.open(address)


def _open_nothing(address: str) -> bool:
    return False


def _line_reader() -> Callable[[], str]:
    # Not sys.stdin.readline: its lock would be held by the thread when the interpreter ends.
    waiting = b""

    def read_line() -> str:
        nonlocal waiting
        while b"\n" not in waiting:
            try:
                chunk = os.read(0, 4_096)
            except OSError:  # closed before this program began, as by <&-
                chunk = b""
            if not chunk:
                line, waiting = waiting, b""
                return line.decode(errors="replace")
            waiting += chunk
        line, _, waiting = waiting.partition(b"\n")
        return line.decode(errors="replace") + "\n"

    return read_line


_read_line = _line_reader()
