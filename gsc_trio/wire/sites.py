"""The JSON of the methods on properties and sitemaps.

Responsible for: their paths, and turning a 200 answer's body into what it says.
Must never: fail on a field that Google leaves out; a body of another shape is a
`MalformedResponseError`.
"""

from __future__ import annotations

import datetime as dt
from typing import TypeVar
from urllib.parse import quote

import msgspec

from gsc_trio.errors import MalformedResponseError

SITES_PATH = "/webmasters/v3/sites?prettyPrint=false"

T = TypeVar("T")


class Site(msgspec.Struct, frozen=True, rename="camel"):
    """A property that the user can see."""

    site_url: str
    permission_level: str = "siteUnverifiedUser"


class SitemapContent(msgspec.Struct, frozen=True, rename="camel"):
    """How many URLs of one type a sitemap has."""

    type: str = ""
    submitted: int = 0
    """Google writes int64s as strings."""
    indexed: int = 0


class Sitemap(msgspec.Struct, frozen=True, rename="camel"):
    """A sitemap, and what became of it."""

    path: str
    type: str = ""
    is_sitemaps_index: bool = False
    is_pending: bool = False
    last_submitted: dt.datetime | None = None
    last_downloaded: dt.datetime | None = None
    warnings: int = 0
    errors: int = 0
    contents: tuple[SitemapContent, ...] = ()

    @property
    def urls_submitted(self) -> int:
        """URLs in it, of all types."""
        return sum(content.submitted for content in self.contents)


class _SiteList(msgspec.Struct, rename="camel"):
    site_entry: list[Site] = []


class _SitemapList(msgspec.Struct):
    sitemap: list[Sitemap] = []


def sitemaps_path(site_url: str) -> str:
    """The path and query string of a property's list of sitemaps."""
    return f"/webmasters/v3/sites/{quote(site_url, safe='')}/sitemaps?prettyPrint=false"


def decode_sites(content: bytes) -> list[Site]:
    """The properties in a 200 answer's body.

    Raises:
        MalformedResponseError: it is no list of sites.
    """
    return _decode(content, _SiteList, "list of sites").site_entry


def decode_sitemaps(content: bytes) -> list[Sitemap]:
    """The sitemaps in a 200 answer's body.

    Raises:
        MalformedResponseError: it is no list of sitemaps.
    """
    return _decode(content, _SitemapList, "list of sitemaps").sitemap


def _decode(content: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResponseError(f"the answer is no {name}: {error}") from None
