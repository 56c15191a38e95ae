"""``gsc-trio sitemaps``: a property's sitemaps, and what became of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import click
import msgspec
import trio

from gsc_trio.cli.asking import Asking, asking_options
from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import json_option
from gsc_trio.cli.output import say, say_json, tell
from gsc_trio.cli.tables import Side, aligned_table
from gsc_trio.model import check_site_url
from gsc_trio.wire.sites import Sitemap

HELP = """List a property's sitemaps: when each was read, its warnings and errors, its URLs.

SITE is the property as Search Console writes it: https://host/ or sc-domain:host.

\b
Examples:
  gsc-trio sitemaps sc-domain:example.com
  gsc-trio sitemaps https://example.com/ --json | jq '.[] | select(.errors > 0)'
"""

_COLUMNS: dict[str, Side] = {
    "sitemap": "left",
    "type": "left",
    "submitted (UTC)": "left",
    "read (UTC)": "left",
    "URLs": "right",
    "warnings": "right",
    "errors": "right",
}


@click.command("sitemaps", help=HELP, short_help="List a property's sitemaps.")
@click.argument("site")
@asking_options
@json_option("Print a JSON list of objects.")
def command(site: str, wants_json: bool, **flags: Any) -> int:
    """Ask, print."""
    check_site_url(site)
    sitemaps = trio.run(_sitemaps, Asking.from_flags(flags, site), site)
    if wants_json:
        say_json([msgspec.structs.asdict(each) | _contents(each) for each in sitemaps])
    elif sitemaps:
        say(aligned_table(_COLUMNS, map(_cells, sitemaps)))
    else:
        tell(f"{site} has no sitemap")
    return COMPLETE


async def _sitemaps(asking: Asking, site: str) -> list[Sitemap]:
    async with asking.open() as client:
        return sorted(await client.list_sitemaps(site), key=lambda each: each.path)


def _contents(sitemap: Sitemap) -> dict[str, Any]:
    contents = [msgspec.structs.asdict(content) for content in sitemap.contents]
    return {"contents": contents, "urls_submitted": sitemap.urls_submitted}


def _cells(sitemap: Sitemap) -> tuple[str, ...]:
    return (
        sitemap.path,
        "index" if sitemap.is_sitemaps_index else sitemap.type,
        _time_text(sitemap.last_submitted),
        "pending" if sitemap.is_pending else _time_text(sitemap.last_downloaded),
        f"{sitemap.urls_submitted:,}",
        f"{sitemap.warnings:,}",
        f"{sitemap.errors:,}",
    )


def _time_text(time: dt.datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
