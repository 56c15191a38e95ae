"""The preflight: everything that can be known to be wrong before a stage has begun.

It costs two queries: the list of sites, and the newest day's first page. That page tells, too, how
large the property is, and with that how much room and how many queries the rollout takes.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import attrs
import httpx

from gsc_trio.client import SearchConsole
from gsc_trio.errors import ApiError, UsageError
from gsc_trio.model import Job, Page
from gsc_trio.rollout.comparison import days_stored
from gsc_trio.rollout.findings import Check
from gsc_trio.rollout.plan import HIGHEST_CONCURRENCY, STAGES, THREE, RolloutRequest

GOOGLES_QUERIES_PER_MINUTE = 1_200
GOOGLES_PROJECT_QUERIES_PER_MINUTE = 40_000
"""Source: Search Console API usage limits."""

CLOCK_SECONDS = 60.0
"""How wrong this machine's clock may be: a day begins, and a quota ends, by it."""

MOST_PAGES_PER_DAY = 3
"""Google gives at most 50,000 rows of a day: two full pages, and one that tells that it is all."""

_BYTES_PER_ROW = 300
"""Generous: a row of page and query takes about 150 bytes in the database, and the log as much."""

_SPARE_BYTES = 100_000_000


@attrs.define
class Preflight:
    """What the checks found out that others need."""

    pages_per_day: int = 1
    """Queries that a day like the newest takes, at most."""
    rows_per_day: int = 0


async def check_everything(
    request: RolloutRequest,
    client: SearchConsole,
    preflight: Preflight,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Check]:
    """Check one thing after another; nothing is changed.

    Google is asked only when all is well on this machine.

    Args:
        request: what the rollout is to do.
        client: what asks Google.
        preflight: is filled in on the way.
        transport: what to ask for the time through instead of the network.
    """
    local = [_check_settings(request), _check_quota(request), _check_database(request)]
    for check in local:
        yield check
    if not all(check.is_good for check in local):
        return
    yield await _check_clock(request, transport)
    access = await _check_access(request, client)
    yield access
    if access.is_good:
        yield await _check_query(request, client, preflight)
        yield _check_disk(request, preflight)


def _check_settings(request: RolloutRequest) -> Check:
    settings = attrs.evolve(request.settings, max_concurrency=HIGHEST_CONCURRENCY)
    needed = settings.batch_size * HIGHEST_CONCURRENCY
    if settings.in_flight_limit < needed:
        return Check(
            "settings",
            is_good=False,
            text=f"max_in_flight is {settings.in_flight_limit:,}, and {HIGHEST_CONCURRENCY} "
            f"workers with batches of {settings.batch_size:,} need {needed:,}: raise it or leave "
            "it out",
        )
    return Check(
        "settings",
        is_good=True,
        text=f"batches of {settings.batch_size:,}, queue ≤ {settings.max_queue_size:,}, in flight "
        f"≤ {settings.in_flight_limit:,} with {HIGHEST_CONCURRENCY} workers",
    )


def _check_quota(request: RolloutRequest) -> Check:
    settings = request.settings
    limits = (
        (settings.queries_per_minute, GOOGLES_QUERIES_PER_MINUTE, "queries_per_minute"),
        (
            settings.project_queries_per_minute,
            GOOGLES_PROJECT_QUERIES_PER_MINUTE,
            "project_queries_per_minute",
        ),
    )
    for given, allowed, name in limits:
        if given > allowed:
            text = f"{name} is {given:,}, and Google allows {allowed:,}: lower it"
            return Check("quota", is_good=False, text=text)
    return Check(
        "quota",
        is_good=True,
        text=f"{settings.queries_per_minute:,} queries in any 60 s of the "
        f"{GOOGLES_QUERIES_PER_MINUTE:,} that Google allows",
    )


def _check_database(request: RolloutRequest) -> Check:
    path = request.database
    if not path.exists():
        return Check("database", is_good=True, text=f"{path} will be made")
    try:
        stored = days_stored(path, request.query, request.days_of(THREE))
    except UsageError as error:
        return Check("database", is_good=False, text=str(error))
    if stored:
        return Check(
            "database",
            is_good=False,
            text=f"{path} holds {stored:,} of these days already, and a rollout measures a run "
            "that fetches them all: give another --db, or fewer --days",
        )
    return Check("database", is_good=True, text=f"{path} is there, and has none of these days")


async def _check_clock(
    request: RolloutRequest, transport: httpx.AsyncBaseTransport | None
) -> Check:
    """Compare the wall clock with the server's; no token is sent and no query spent."""
    try:
        async with httpx.AsyncClient(
            transport=transport, timeout=request.settings.connect_timeout_seconds
        ) as http:
            response = await http.head(request.settings.api_root)
        server = parsedate_to_datetime(response.headers["Date"])
    except httpx.HTTPError as error:
        text = f"{request.settings.api_root} cannot be reached: {error}"
        return Check("clock", is_good=False, text=text)
    except (KeyError, ValueError):
        return Check("clock", is_good=True, text="not compared: the server does not tell the time")
    seconds = (dt.datetime.now(dt.UTC) - server).total_seconds()
    if abs(seconds) <= CLOCK_SECONDS:
        return Check("clock", is_good=True, text=f"within {abs(seconds):.0f} s of the server's")
    direction = "ahead of" if seconds > 0 else "behind"
    return Check(
        "clock",
        is_good=False,
        text=f"{abs(seconds):,.0f} s {direction} the server's: set this machine's clock",
    )


async def _check_access(request: RolloutRequest, client: SearchConsole) -> Check:
    site_url = request.query.site_url
    try:
        sites = await client.list_sites()
    except ApiError as error:
        text = f"the list of sites was refused: {error}"
        return Check("access", is_good=False, text=text)
    level = next((site.permission_level for site in sites if site.site_url == site_url), None)
    if level is None:
        names = ", ".join(site.site_url for site in sites[:5]) or "no property at all"
        return Check(
            "access",
            is_good=False,
            text=f"this account does not see {site_url}; it sees {names}",
        )
    if level == "siteUnverifiedUser":
        text = f"this account is an unverified user of {site_url}: ask an owner for access"
        return Check("access", is_good=False, text=text)
    return Check("access", is_good=True, text=f"this account sees {site_url}, as {level}")


async def _check_query(
    request: RolloutRequest, client: SearchConsole, preflight: Preflight
) -> Check:
    try:
        page: Page = await client.query(request.query, Job(request.end))
    except ApiError as error:
        return Check("query", is_good=False, text=f"{request.end} was refused: {error}")
    rows = len(page.rows)
    preflight.pages_per_day = MOST_PAGES_PER_DAY if page.is_full else 1
    preflight.rows_per_day = rows * 2 if page.is_full else rows
    more = " and more" if page.is_full else ""
    return Check("query", is_good=True, text=f"{request.end} has {rows:,} rows{more}")


def _check_disk(request: RolloutRequest, preflight: Preflight) -> Check:
    days = sum(len(request.days_of(stage)) for stage in STAGES)
    needed = days * preflight.rows_per_day * _BYTES_PER_ROW + _SPARE_BYTES
    free = shutil.disk_usage(request.database.absolute().parent).free
    text = f"{free / 1e9:,.1f} GB free, and up to {needed / 1e9:,.1f} GB are needed"
    if free < needed:
        text += ": make room, or give a --db on another disk"
    return Check("disk", is_good=free >= needed, text=text)
