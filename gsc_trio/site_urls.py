"""Which property a URL belongs to.

A URL-prefix property has the URLs that begin with it, a domain property those of its host and of
every host below it (Source: Search Console help, property types).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from gsc_trio.errors import UsageError


def check_url(url: str) -> None:
    """Refuse what is no address of a page.

    Raises:
        UsageError: the message says how to write one.
    """
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # for example an unclosed bracket of an IPv6 address
        is_url = False
    if not is_url or not url.isprintable() or " " in url:
        raise UsageError(f"{url!r} is no URL: write it whole, as https://example.com/page")


def is_within(url: str, site_url: str) -> bool:
    """Whether a property has a URL. Scheme and host may be written in any case."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if site_url.startswith("sc-domain:"):
        domain = site_url.removeprefix("sc-domain:").lower()
        return host == domain or host.endswith(f".{domain}")
    prefix = urlsplit(site_url)
    return (
        parts.scheme == prefix.scheme
        and parts.netloc.lower() == prefix.netloc.lower()
        and (parts.path or "/").startswith(prefix.path)
    )


def property_of(url: str, site_urls: Iterable[str]) -> str | None:
    """The property that has a URL, of several the narrowest; None if there is none."""
    within = [each for each in site_urls if is_within(url, each)]
    # A prefix is narrower than any domain, and a longer one of either kind than a shorter one.
    return max(
        within, key=lambda each: (not each.startswith("sc-domain:"), len(each), each), default=None
    )
