"""``gsc-trio logout``: take back what a sign-in allowed, and forget it."""

from __future__ import annotations

import click
import trio

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.output import say
from gsc_trio.config_sources import load_settings
from gsc_trio.credentials.accounts import AccountsFile, UserAccount
from gsc_trio.credentials.choice import accounts_file
from gsc_trio.credentials.login import revoke
from gsc_trio.errors import UsageError

HELP = """Sign out: revoke what a sign-in allowed, then delete it from this machine.

Google revokes for the whole OAuth client: where the same person signed in with the same client on
another machine, that sign-in ends, too. --keep-grant deletes it here alone. A service account is
only forgotten; its key file stays.

\b
Examples:
  gsc-trio logout
  gsc-trio logout --account agency
  gsc-trio logout --all
  gsc-trio logout --keep-grant                    # also when Google cannot be reached

\b
Exit codes: 0 signed out, 1 Google did not revoke it (nothing was deleted), 2 wrong usage.
"""


@click.command("logout", help=HELP, short_help="Sign out: revoke and delete.")
@click.option("--account", "name", metavar="NAME", help="Which account; needed if there are more.")
@click.option("--all", "wants_all", is_flag=True, help="All accounts.")
@click.option("--keep-grant", is_flag=True, help="Only delete here, and do not ask Google.")
def command(*, name: str | None, wants_all: bool, keep_grant: bool) -> int:
    """Revoke, delete."""
    stored = accounts_file(load_settings())
    for each in _chosen(stored, name, wants_all=wants_all):
        account = stored.accounts()[each]
        if isinstance(account, UserAccount) and not keep_grant:
            trio.run(revoke, account.client, account.refresh_token)
            done = "revoked and deleted"
        else:
            done = "deleted from this machine"
        stored.delete(each)
        say(f"account {each}: {done}")
    return COMPLETE


def _chosen(stored: AccountsFile, name: str | None, *, wants_all: bool) -> list[str]:
    names = list(stored.accounts())
    if name is not None and wants_all:
        raise UsageError("--account and --all exclude each other")
    if name is not None and name not in names:
        known = f"there are {', '.join(names)}" if names else "nobody is signed in"
        raise UsageError(f"no account is called {name!r}: {known}")
    if not names:
        raise UsageError("nobody is signed in")
    if name is None and not wants_all and len(names) > 1:
        raise UsageError(f"which of {', '.join(names)}? Give --account NAME or --all")
    return [name] if name is not None else names
