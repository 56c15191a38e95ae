"""``gsc-trio sites``: the properties that an account can see, and what is stored of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio

from gsc_trio.cli.asking import Asking, asking_options
from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import database_option, json_option
from gsc_trio.cli.output import say, say_json, tell
from gsc_trio.cli.stores import open_database
from gsc_trio.cli.tables import Side, aligned_table
from gsc_trio.store.base import Coverage

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

HELP = """List the properties that the account can see, with its permission level.

The levels are Google's: siteOwner, siteFullUser, siteRestrictedUser, and siteUnverifiedUser, who
cannot read any data. With --db it also tells what the database has of each; a property that is
stored and cannot be seen (any more) is listed, too, with the level "none".

\b
Examples:
  gsc-trio sites
  gsc-trio sites --db gsc.db
  gsc-trio sites --json | jq -r '.[].site_url'
  gsc-trio sites --account work
"""

NONE = "none"
"""The permission level of a property that is stored and cannot be seen."""

_COLUMNS: dict[str, Side] = {"site": "left", "permission": "left"}
_STORED_COLUMNS: dict[str, Side] = {
    "datasets": "right",
    "days": "right",
    "rows": "right",
    "first day": "left",
    "last day": "left",
}


@attrs.frozen
class ListedSite:
    """A property, as it is told."""

    site_url: str
    permission_level: str
    stored: tuple[Coverage, ...] = ()
    """A coverage for each dataset that the database has of it."""


@click.command("sites", help=HELP, short_help="List the properties that an account can see.")
@database_option("A database: tell what it has of each property.", is_required=False)
@asking_options
@json_option("Print a JSON list of objects.")
def command(database: Location | None, wants_json: bool, **flags: Any) -> int:
    """Ask, look, print."""
    asking = Asking.from_flags(flags)
    sites = trio.run(_listed_sites, asking, database)
    if wants_json:
        say_json([attrs.asdict(site) for site in sites])
    elif sites:
        say(_table(sites, with_stored=database is not None))
    else:
        tell("this account can see no property: add it as a user in Search Console's settings")
    return COMPLETE


async def _listed_sites(asking: Asking, database: Location | None) -> list[ListedSite]:
    coverages: Sequence[Coverage] = ()
    if database is not None:  # before a question is spent on it
        async with open_database(database, read_only=True) as store:
            coverages = await store.coverage()
    async with asking.open() as client:
        levels = {site.site_url: site.permission_level for site in await client.list_sites()}
    names = sorted({*levels, *(coverage.site_url for coverage in coverages)})
    return [
        ListedSite(
            name,
            levels.get(name, NONE),
            tuple(coverage for coverage in coverages if coverage.site_url == name),
        )
        for name in names
    ]


def _table(sites: Sequence[ListedSite], *, with_stored: bool) -> str:
    if not with_stored:
        return aligned_table(_COLUMNS, ((each.site_url, each.permission_level) for each in sites))
    return aligned_table(_COLUMNS | _STORED_COLUMNS, map(_cells, sites))


def _cells(site: ListedSite) -> tuple[str, ...]:
    stored = site.stored
    first_days = [each.first_day for each in stored if each.first_day is not None]
    last_days = [each.last_day for each in stored if each.last_day is not None]
    return (
        site.site_url,
        site.permission_level,
        f"{len(stored):,}",
        # One dataset may have days that another lacks: the best of them says how far it goes.
        f"{max((each.days_complete for each in stored), default=0):,}",
        f"{sum(each.rows for each in stored):,}",
        str(min(first_days, default="-")),
        str(max(last_days, default="-")),
    )
