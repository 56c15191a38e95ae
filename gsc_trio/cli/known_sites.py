"""Whether there is anything to fetch, asked before a run makes a database.

A property's name is mis-spelt easily, and a database with nothing in it would be left behind, and
queries spent. Where there is a database already, the run itself finds out. Who does not answer does
not hold a run up: it tries again, and knows better what to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trio_util import move_on_when

from gsc_trio.access import TokenSource
from gsc_trio.cli.stores import is_there
from gsc_trio.config import Settings
from gsc_trio.credentials.token_source import GoogleTokenSource
from gsc_trio.errors import ApiError, PermissionDeniedError
from gsc_trio.halt import HaltSwitch
from gsc_trio.many import open_clients

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

NAMED = 5
"""So many of the properties that there are instead are named."""

_UNVERIFIED = "siteUnverifiedUser"
"""The permission level of who may see nothing of a property."""


async def refuse_unknown_sites(
    database: Location,
    settings: Settings,
    credentials: Mapping[str, TokenSource | None],
    halt_switch: HaltSwitch,
) -> None:
    """Make sure that one of the properties can be seen, if there is no database yet.

    Args:
        database: where the run is to write to.
        settings: whom to ask.
        credentials: what gives access tokens for each property.
        halt_switch: what ends waiting for an answer.

    Raises:
        PermissionDeniedError: none of them.
    """
    if is_there(database):
        return
    seen: set[str] = set()
    async with (
        move_on_when(halt_switch.requested.wait) as waiting,
        open_clients(settings, credentials) as client_of,
    ):
        for client in {id(client): client for client in map(client_of, credentials)}.values():
            try:
                sites = await client.list_sites()
            except ApiError:
                return
            seen |= {site.site_url for site in sites if site.permission_level != _UNVERIFIED}
            if seen & credentials.keys():
                break
    for source in credentials.values():
        if isinstance(source, GoogleTokenSource):
            source.give_again()
    if not waiting.cancelled_caught and not seen & credentials.keys():
        raise PermissionDeniedError(_words(list(credentials), sorted(seen)))


def _words(wanted: Sequence[str], seen: Sequence[str]) -> str:
    what = wanted[0] if len(wanted) == 1 else f"any of the {len(wanted):,} properties"
    more = f" and {len(seen) - NAMED:,} more" if len(seen) > NAMED else ""
    names = ", ".join(seen[:NAMED]) or "none at all"
    return f"this account cannot see {what}; what it can see: {names}{more}"
