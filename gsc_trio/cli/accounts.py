"""``gsc-trio accounts``: who is signed in, and who asks for which property."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import json_option
from gsc_trio.cli.output import say, say_json
from gsc_trio.config_sources import load_settings
from gsc_trio.credentials.accounts import AccountsFile, UserAccount
from gsc_trio.credentials.choice import accounts_file
from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery

HELP = """List the accounts that are signed in on this machine; secrets are not shown.

With several accounts, a command must be told which one asks: by --account NAME, by
GSC_TRIO_ACCOUNT, or once and for all for a property by --pin.

\b
Examples:
  gsc-trio accounts
  gsc-trio accounts --json
  gsc-trio accounts --pin sc-domain:example.com agency
  gsc-trio accounts --unpin sc-domain:example.com
"""


@click.command("accounts", help=HELP, short_help="List who is signed in.")
@click.option(
    "--pin",
    type=(str, str),
    metavar="SITE NAME",
    help="From now on, ask for this property as this account.",
)
@click.option("--unpin", metavar="SITE", help="Leave open again who asks for this property.")
@json_option("Print a JSON list of objects.")
def command(*, pin: tuple[str, str] | None, unpin: str | None, wants_json: bool) -> int:
    """Settle, then list."""
    stored = accounts_file(load_settings())
    if pin is not None:
        site_url, name = pin
        SearchAnalyticsQuery(site_url)  # refuses a name that no property has
        if name not in stored.accounts():
            raise UsageError(f"no account is called {name!r}: see `gsc-trio accounts`")
        stored.pin(site_url, name)
    if unpin is not None:
        if unpin not in stored.sites():
            raise UsageError(f"no account is settled for {unpin}: see `gsc-trio accounts`")
        stored.pin(unpin, None)
    if wants_json:
        say_json(_described(stored))
    else:
        say(accounts_text(stored))
    return COMPLETE


def accounts_text(stored: AccountsFile) -> str:
    """A table of accounts."""
    described = _described(stored)
    if not described:
        return "nobody is signed in: run `gsc-trio login --client FILE`"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("account", "kind", "since (UTC)", "what", "asks for"):
        table.add_column(title, no_wrap=True)
    for each in described:
        cells = (each["account"], each["kind"], each["signed_in_at"] or "-", each["what"])
        table.add_row(*map(Text, cells), Text(", ".join(each["sites"]) or "-"))
    console = Console(width=10_000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _described(stored: AccountsFile) -> list[dict[str, Any]]:
    sites = stored.sites()
    described = []
    for name, account in stored.accounts().items():
        if isinstance(account, UserAccount):
            kind, what = "user", f"OAuth client {account.client.client_id}"
            signed_in_at = f"{account.signed_in_at:%Y-%m-%d %H:%M}"
        else:
            kind, what = "service account", f"{account.client_email}, key in {account.key_file}"
            signed_in_at = None
        pinned = [site for site, pinned in sites.items() if pinned == name]
        described.append(
            {
                "account": name,
                "kind": kind,
                "signed_in_at": signed_in_at,
                "what": what,
                "sites": pinned,
            }
        )
    return described
