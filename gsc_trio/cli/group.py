"""Clients for many properties, with everything around them that shows how it is going."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from gsc_trio.access import TokenSource
from gsc_trio.cli.display import Display
from gsc_trio.cli.group_progress import GroupProgress
from gsc_trio.cli.progress import Progress
from gsc_trio.cli.run import shown
from gsc_trio.client import user_of
from gsc_trio.config import Settings
from gsc_trio.many import open_clients
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.side_by_side import ClientOf
from gsc_trio.telemetry.events import QuotaUsed
from gsc_trio.telemetry.instrument import Instrument, Instruments


@asynccontextmanager
async def open_group(
    settings: Settings,
    credentials: Mapping[str, TokenSource | None],
    display: Display,
    instruments: Iterable[Instrument],
    *,
    runs: int,
    limiter_type: type[RateLimiter] = RateLimiter,
) -> AsyncIterator[tuple[ClientOf, Sequence[Instrument]]]:
    """Open clients, one for each account, and show how it is going.

    Args:
        settings: address, timeouts and limits.
        credentials: what gives access tokens for each property.
        display: where progress is shown: day by day, if there is a single run.
        instruments: who else is told what happens.
        runs: how many there are.
        limiter_type: what the clients share.

    Yields:
        The clients, and all who are told what happens.
    """
    users = {user_of(source) for source in credentials.values()}

    def busiest() -> Sequence[QuotaUsed]:
        """The account that uses most of its quota, and the project."""
        uses = (limiter.quota_use(user, "")[1:] for user in users)
        return max(uses, key=lambda use: use[0].used)

    progress = Progress() if runs == 1 else GroupProgress(busiest)
    watching = [progress, *instruments]
    limiter = limiter_type.from_settings(settings, Instruments(watching))
    async with (
        shown(progress, display),
        open_clients(settings, credentials, limiter=limiter, instruments=watching) as client_of,
    ):
        yield client_of, watching
