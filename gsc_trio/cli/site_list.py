"""A list of properties in a file, one a line: ``--sites FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from gsc_trio.errors import UsageError
from gsc_trio.model import check_site_url

STDIN = "-"


def read_sites(source: str) -> list[str]:
    """The properties that a file lists, in its order.

    A line is a property as Search Console writes it. Blank lines are left out, and what follows a
    ``#`` at the beginning of a line or after a space.

    Args:
        source: the file's path, or ``-`` for standard input.

    Raises:
        UsageError: it cannot be read, lists nothing, or a line is no property or is there twice;
            the message names the file and the line.
    """
    name = "standard input" if source == STDIN else source
    sites: dict[str, int] = {}
    for number, line in enumerate(_text_of(source, name).splitlines(), 1):
        site = f" {line}".partition(" #")[0].strip()
        if not site:
            continue
        try:
            check_site_url(site)
        except UsageError as error:
            raise UsageError(f"{name}, line {number}: {error}") from None
        if site in sites:
            raise UsageError(f"{name}, line {number}: {site} is on line {sites[site]} already")
        sites[site] = number
    if not sites:
        raise UsageError(f"{name} lists no property: write one on each line")
    return list(sites)


def _text_of(source: str, name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read the list of sites {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the list of sites {name} is not UTF-8 text") from None
