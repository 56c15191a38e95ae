"""Backfill many properties in one call: side by side, within all limits, each on its own account.

::

    async with (
        open_sqlite_store("search.db") as store,
        open_search_console(settings, credentials=credentials) as client,
    ):
        queries = [SearchAnalyticsQuery(site) for site in sites]
        summaries = await backfill_many(client, queries, store, start=start, end=end)

With several accounts, `open_clients` gives what takes the place of ``client``. How properties share
workers and quota is `gsc_trio.side_by_side`'s concern, and what a single one does
`gsc_trio.backfill`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

import attrs

from gsc_trio.access import TokenSource
from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole, open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.credentials.token_source import GoogleCredentials
from gsc_trio.dates import check_range, pacific_today
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch, following
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.paginator import plan_jobs
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.side_by_side import ClientOf, clients_of, run_side_by_side
from gsc_trio.store.base import Store, StoredDay
from gsc_trio.summary import RunMeter, RunSummary
from gsc_trio.telemetry.instrument import Instrument, Instruments
from gsc_trio.turn import Outcome, Turn


@asynccontextmanager
async def open_clients(
    settings: Settings,
    credentials: Mapping[str, GoogleCredentials | TokenSource | None],
    *,
    limiter: RateLimiter | None = None,
    instruments: Sequence[Instrument] = (),
) -> AsyncIterator[ClientOf]:
    """Open a client for each account; they share a rate limiter.

    Args:
        settings: address, timeouts and limits.
        credentials: by site; sites that have the same share a client.
        limiter: one to share with others; by default a new one with the settings' limits.
        instruments: as for `gsc_trio.client.open_search_console`.
    """
    limiter = limiter or RateLimiter.from_settings(settings, Instruments(instruments))
    clients: dict[int, SearchConsole] = {}
    async with AsyncExitStack() as stack:
        for source in {id(source): source for source in credentials.values()}.values():
            clients[id(source)] = await stack.enter_async_context(
                open_search_console(
                    settings, limiter=limiter, credentials=source, instruments=instruments
                )
            )
        yield lambda site_url: clients[id(credentials[site_url])]


class ReadableStore(Store, Protocol):
    """A store that can also say what is there without beginning a run."""

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The days of which there is anything, as `begin_run` gives them."""


async def backfill_many(
    client: SearchConsole | ClientOf,
    queries: Iterable[SearchAnalyticsQuery],
    store: ReadableStore,
    *,
    start: dt.date,
    end: dt.date,
    settings: Settings | None = None,
    concurrency: Concurrency | None = None,
    instruments: Iterable[Instrument] = (),
    halt_switch: HaltSwitch | None = None,
    today: dt.date | None = None,
) -> list[RunSummary]:
    """Bring a range of days of many properties into a store.

    ``max_concurrency`` workers for each account are shared by the properties, a worker each as
    long as there are as many, so thousands of properties take no more memory than a few. A
    property of which all days are there costs one read of its ledger.

    Args:
        client: what is asked; with several accounts, what gives the client of a site.
        queries: what is asked for, each once.
        store: where pages are committed.
        start: the first day, in Pacific time.
        end: the last day, included.
        settings: concurrency and limits; by default the first client's.
        concurrency: how many workers each account has, if that is to be changed meanwhile.
        instruments: who is told what happens, of all properties together; see
            `gsc_trio.telemetry.merged`.
        halt_switch: what stops everything from outside.
        today: the current date in Pacific time, if it is not what the clock says.

    Returns:
        A summary for each query, in their order. A property that fails says so there and does not
        stop the others.

    Raises:
        UsageError: a range of days that cannot have data, a query that is there twice, clients
            that do not share a limiter. Nothing was fetched.
        StorageError: the store cannot say what is there.
    """
    chosen = _each_once(queries)
    today = today or pacific_today()
    for is_hourly in {query.is_hourly for query in chosen}:
        check_range(start, end, today, is_hourly=is_hourly)
    if not chosen:
        return []
    clients = clients_of(client, (query.site_url for query in chosen))
    switch = halt_switch or HaltSwitch()
    works: list[_Backfill] = []
    for query in chosen:
        stored: Mapping[dt.date, StoredDay] = {}
        if switch.halt is None:
            stored = await store.stored_days(query, start, end)
        days = len(plan_jobs(stored, start, end))
        works.append(_Backfill(query, store, start, end, today, days))
    await run_side_by_side(
        [work for work in works if work.days],
        clients,
        store,
        settings or clients[chosen[0].site_url].settings,
        start=start,
        end=end,
        instruments=instruments,
        halt_switch=switch,
        concurrency=concurrency,
    )
    return [work.summary for work in works]


def _each_once(queries: Iterable[SearchAnalyticsQuery]) -> Sequence[SearchAnalyticsQuery]:
    chosen: dict[SearchAnalyticsQuery, None] = {}
    for query in queries:
        if query in chosen:
            raise UsageError(f"{query.site_url} is there twice, with the same query")
        chosen[query] = None
    return list(chosen)


@attrs.define(eq=False)
class _Backfill:
    """A property's backfill, as a piece of work."""

    query: SearchAnalyticsQuery
    store: Store
    start: dt.date
    end: dt.date
    today: dt.date
    days: int
    summary: RunSummary = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.summary = self._summary_of(None)

    @property
    def site_url(self) -> str:
        """The property."""
        return self.query.site_url

    async def run(self, turn: Turn) -> Outcome:
        """Fetch what is missing."""
        async with following(turn.halt_switch) as switch:
            self.summary = await backfill(
                turn.client,
                self.query,
                self.store,
                start=self.start,
                end=self.end,
                settings=turn.settings,
                concurrency=turn.concurrency,
                instruments=turn.instruments,
                halt_switch=switch,
                journal=turn.journal,
                today=self.today,
            )
        error = switch.halt.error if switch.halt else None
        summary = self.summary
        return Outcome(summary.status, summary.reason, summary.days, summary.rows, error)

    def conclude(self, outcome: Outcome) -> None:
        """Take note that it was never begun, or ended with an error."""
        self.summary = self._summary_of(Halt(outcome.reason, status=outcome.status))

    def _summary_of(self, halt: Halt | None) -> RunSummary:
        return RunMeter().summary(self.site_url, self.start, self.end, halt)
