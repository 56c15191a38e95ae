"""``gsc-trio inspect``: what Google's index has of URLs."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio

from gsc_trio.cli.asking import Asking, asking_options
from gsc_trio.cli.failures import COMPLETE, FAILED
from gsc_trio.cli.options import database_option, json_option
from gsc_trio.cli.output import say, say_json, tell
from gsc_trio.cli.stores import open_database
from gsc_trio.cli.tables import Side, aligned_table
from gsc_trio.client import SearchConsole
from gsc_trio.dates import PACIFIC_TIME
from gsc_trio.errors import ApiError, UsageError
from gsc_trio.inspection import (
    PER_DAY,
    PER_MINUTE,
    FailedInspection,
    Inspector,
    Target,
    inspection_limiter,
)
from gsc_trio.model import check_site_url
from gsc_trio.site_urls import check_url, is_within, property_of
from gsc_trio.store.database import Database
from gsc_trio.wire.inspection import Inspection

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

CONCURRENCY = 10
"""How many URLs are under way at once: an inspection takes Google a second and more."""

HELP = f"""Ask what Google's index has of URLs: indexed or not and why, crawled when, canonical.

The property of each URL is the narrowest that the account can see, or the one that --site names.
Google allows {PER_MINUTE:,} inspections a minute and {PER_DAY:,} a day of each property, beside the
quota of backfill. Both are kept to. With --db every answer is kept in the table url_inspection as
it comes, the day's quota is counted over all runs, and those URLs go first that were never
inspected, then those whose inspection is oldest: so the same command, run once a day with a longer
list, goes through all of it.

\b
Examples:
  gsc-trio inspect https://example.com/ https://example.com/shop/
  gsc-trio inspect https://example.com/ --json | jq '.inspections[].result.indexStatusResult'
  gsc-trio inspect --from urls.txt --db gsc.db
  sqlite3 gsc.db "SELECT DISTINCT url FROM searchdata_url_impression" |
      gsc-trio inspect --from - --site sc-domain:example.com --db gsc.db

\b
Exit codes: 0 all were inspected, 1 some were not, 2 wrong usage, 130 interrupted.
"""  # noqa: S608 - the SQL in it is an example

_COLUMNS: dict[str, Side] = {
    "URL": "left",
    "verdict": "left",
    "coverage": "left",
    "last crawl (UTC)": "left",
    "Google's canonical": "left",
}


@attrs.frozen
class InspectRequest:
    """What a command line asks for, once it is found to be right."""

    asking: Asking
    urls: tuple[str, ...]
    site_url: str | None
    database: Location | None
    per_minute: int
    per_day: int
    concurrency: int
    language_code: str


@attrs.define
class Outcome:
    """What came of it."""

    inspections: list[Inspection] = attrs.field(factory=list)
    failures: list[FailedInspection] = attrs.field(factory=list)
    left: list[Target] = attrs.field(factory=list)
    """URLs that were not asked about."""
    reason: str = ""
    """Why some are left."""

    @property
    def is_complete(self) -> bool:
        """Whether every URL was inspected."""
        return not (self.failures or self.left)


@click.command("inspect", help=HELP, short_help="Ask what Google's index has of URLs.")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    help="A file with a URL on each line, beside those on the command line; - is stdin.",
)
@click.option("--site", "site_url", metavar="SITE", help="The property that all of them are in.")
@database_option(
    "Keep the answers in this SQLite database, made if it is not there, or in postgresql://…",
    is_required=False,
)
@click.option(
    "--per-minute",
    type=click.IntRange(1, 1_000_000),
    default=PER_MINUTE,
    show_default=True,
    metavar="N",
    help="The quota of inspections of a property in any 60 seconds.",
)
@click.option(
    "--per-day",
    type=click.IntRange(1, 10_000_000),
    default=PER_DAY,
    show_default=True,
    metavar="N",
    help="The quota of inspections of a property in a day, in Pacific time.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 100),
    default=CONCURRENCY,
    show_default=True,
    metavar="N",
    help="How many URLs are inspected at once.",
)
@click.option(
    "--language",
    "language_code",
    default="en-US",
    show_default=True,
    metavar="CODE",
    help="In which language Google explains itself.",
)
@asking_options
@json_option("Print one JSON object.")
def command(
    *,
    urls: tuple[str, ...],
    source: str | None,
    site_url: str | None,
    database: Location | None,
    per_minute: int,
    per_day: int,
    concurrency: int,
    language_code: str,
    wants_json: bool,
    **flags: Any,
) -> int:
    """Ask, keep, print."""
    if site_url is not None:
        check_site_url(site_url)
    request = InspectRequest(
        asking=Asking.from_flags(flags, site_url or ""),
        urls=_checked([*urls, *_read_urls(source)], site_url),
        site_url=site_url,
        database=database,
        per_minute=per_minute,
        per_day=per_day,
        concurrency=concurrency,
        language_code=language_code,
    )
    outcome = trio.run(_inspect, request)
    if wants_json:
        say_json(_as_json(outcome))
    elif outcome.inspections:
        say(aligned_table(_COLUMNS, map(_cells, outcome.inspections)))
    for failure in outcome.failures:
        tell(f"{failure.target.url} was not inspected: {failure.error}")
    if outcome.left:
        tell(f"{len(outcome.left):,} URLs were not inspected: {outcome.reason}")
    return COMPLETE if outcome.is_complete else FAILED


def _read_urls(source: str | None) -> list[str]:
    if source is None:
        return []
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise UsageError(f"cannot read URLs from {source}: {reason}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _checked(urls: Iterable[str], site_url: str | None) -> tuple[str, ...]:
    """Each URL once, in the order in which they were given."""
    chosen = tuple(dict.fromkeys(urls))
    if not chosen:
        raise UsageError("there is no URL to inspect: name some, or a file of them with --from")
    for url in chosen:
        check_url(url)
        if site_url is not None and not is_within(url, site_url):
            raise UsageError(f"{url} is not in {site_url}: leave it out, or name its property")
    return chosen


async def _inspect(request: InspectRequest) -> Outcome:
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        store = None
        if request.database is not None:
            store = await stack.enter_async_context(open_database(request.database))
        client = await stack.enter_async_context(request.asking.open())
        targets = await _targets(request, client)
        chosen = await _within_the_day(request, store, targets, outcome)

        async def receive(inspected: Inspection | FailedInspection) -> None:
            if isinstance(inspected, FailedInspection):
                outcome.failures.append(inspected)
                return
            if store is not None:
                await store.write_inspection(inspected)
            outcome.inspections.append(inspected)

        limiter = inspection_limiter(request.asking.settings, per_minute=request.per_minute)
        inspector = Inspector(client, limiter, request.language_code)
        try:
            await inspector.inspect(chosen, receive, concurrency=request.concurrency)
        except ApiError as error:
            if not (outcome.inspections or outcome.failures):
                raise
            outcome.reason = str(error)
    _sort(outcome, targets)
    return outcome


async def _targets(request: InspectRequest, client: SearchConsole) -> list[Target]:
    """The URLs with their properties.

    Raises:
        UsageError: a URL is in no property that the account can see.
    """
    if request.site_url is not None:
        return [Target(request.site_url, url) for url in request.urls]
    sites = [site.site_url for site in await client.list_sites()]
    targets = []
    for url in request.urls:
        site_url = property_of(url, sites)
        if site_url is None:
            raise UsageError(
                f"{url} is in no property that this account can see: `gsc-trio sites` lists them"
            )
        targets.append(Target(site_url, url))
    return targets


async def _within_the_day(
    request: InspectRequest, store: Database | None, targets: Sequence[Target], outcome: Outcome
) -> list[Target]:
    """Those that the day's quota of their property allows; the others are left."""
    midnight = dt.datetime.combine(dt.datetime.now(PACIFIC_TIME).date(), dt.time(), PACIFIC_TIME)
    last: dict[str, Mapping[str, dt.datetime]] = {}
    room: dict[str, int] = {}
    for site_url in {target.site_url for target in targets}:
        last[site_url], room[site_url] = {}, request.per_day
        if store is not None:
            last[site_url] = await store.last_inspections(site_url)
            room[site_url] -= await store.count_inspections(site_url, midnight)
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    chosen = []
    for target in sorted(targets, key=lambda each: last[each.site_url].get(each.url, never)):
        room[target.site_url] -= 1
        if room[target.site_url] >= 0:
            chosen.append(target)
        else:
            outcome.reason = (
                f"the quota of {request.per_day:,} inspections a day of {target.site_url} is used "
                "up: go on after midnight Pacific time"
            )
    return chosen


def _sort(outcome: Outcome, targets: Sequence[Target]) -> None:
    """Put everything into the order in which the URLs were given, and find those that are left."""
    place = {target.url: number for number, target in enumerate(targets)}
    outcome.inspections.sort(key=lambda each: place[each.inspection_url])
    outcome.failures.sort(key=lambda each: place[each.target.url])
    done = {each.inspection_url for each in outcome.inspections}
    done |= {each.target.url for each in outcome.failures}
    outcome.left = [target for target in targets if target.url not in done]


def _cells(inspection: Inspection) -> tuple[str, ...]:
    status = inspection.status
    canonical = status.google_canonical or "-"
    return (
        inspection.inspection_url,
        status.verdict,
        status.coverage_state,
        (status.last_crawl_time or "-")[:16].replace("T", " "),
        "itself" if canonical == inspection.inspection_url else canonical,
    )


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "inspections": [
            {
                "site_url": each.site_url,
                "inspection_url": each.inspection_url,
                "inspected_at": each.inspected_at.isoformat(timespec="milliseconds"),
                "result": json.loads(each.result),
            }
            for each in outcome.inspections
        ],
        "failures": [
            {"inspection_url": each.target.url, "error": str(each.error)}
            for each in outcome.failures
        ],
        "left": [target.url for target in outcome.left],
        "reason": outcome.reason,
    }
