"""Sync targets, side by side: one limiter, one writer, and the least work first.

How targets share workers and quota, and what one failure means for others, is
`gsc_trio.side_by_side`'s concern. The least work first, so that no site's new days wait for
another's long history.

With a budget of queries targets go one after another, in the same order: each may spend an equal
part of what is left for it and those after it. Who needs less leaves the rest to the others, and no
long history takes more than its part while others want theirs.

Each target that is fetched leaves a record of its run. What a target lacks is looked up twice, once
to know how much it is and once in its turn, so that memory does not grow with days times targets.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import attrs

from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch, following
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.paginator import days_backwards
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.report.keep import keep_record
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.side_by_side import ClientOf, clients_of, run_side_by_side
from gsc_trio.summary import RunMeter, RunSummary
from gsc_trio.sync.budget import BudgetedRateLimiter
from gsc_trio.sync.needs import Needs, SyncStore, needs_of
from gsc_trio.sync.targets import SyncTarget
from gsc_trio.sync.whole_days import AT_ONCE, WholeDays
from gsc_trio.telemetry.instrument import Instrument, Instruments
from gsc_trio.turn import Outcome, Turn

logger = logging.getLogger("gsc_trio")

GOOD = ("complete", "nothing to do", "paused")
"""Statuses with which a sync ends well."""

_NOT_BEGUN = "not begun"
_SPENT = Halt("the budget of queries is spent", status="paused")


@attrs.define
class TargetResult:
    """What became of a target."""

    query: SearchAnalyticsQuery
    status: str = _NOT_BEGUN
    """``complete``, ``nothing to do``, ``paused`` (the budget is spent), ``halted``, ``failed``,
    ``interrupted`` or ``not begun``."""
    reason: str = ""
    days_wanted: int = 0
    """Days that were missing, outdated or fresh."""
    days: int = 0
    """Days completed."""
    days_replaced: int = 0
    """Days among those wanted that were there and not final."""
    days_fetched_again: int = 0
    """Days that were begun again, since rows moved between their pages."""
    rows: int = 0
    requests: int = 0
    """Queries sent."""


@attrs.frozen
class _Run:
    """A part of a target that is one backfill."""

    query: SearchAnalyticsQuery
    days: frozenset[dt.date]
    replaced: frozenset[dt.date]


async def sync(
    store: SyncStore,
    targets: Sequence[SyncTarget],
    client: SearchConsole | ClientOf,
    *,
    today: dt.date,
    max_requests: int | None = None,
    settings: Settings | None = None,
    concurrency: Concurrency | None = None,
    halt_switch: HaltSwitch | None = None,
    instruments: Iterable[Instrument] = (),
) -> Sequence[TargetResult]:
    """Bring targets up to date.

    Args:
        store: the database.
        targets: what is to be there.
        client: what is asked; with several accounts, what gives the client of a site.
        today: the current date in Pacific time.
        max_requests: how many queries may be sent, or None for as many as it takes. A number needs
            clients with a `BudgetedRateLimiter`.
        settings: concurrency and limits; by default the first client's.
        concurrency: how many workers each account has, if that is to be changed meanwhile.
        halt_switch: what stops everything from outside.
        instruments: who is told what happens, of all targets together.

    Returns:
        The results, in the order of ``targets``. One that fails does not stop the others.

    Raises:
        UsageError: clients that do not share a limiter, or whose limiter knows no budget.
        StorageError: the database cannot say what is there.
    """
    if not targets:
        return []
    switch = halt_switch or HaltSwitch()
    clients = clients_of(client, (target.query.site_url for target in targets))
    first = clients[targets[0].query.site_url]
    budget = _budget_of(first.limiter, max_requests)
    works = [_TargetWork(target, store, today, budget) for target in targets]
    wanted: set[dt.date] = set()
    for work in works:
        if switch.halt is None:
            wanted |= await work.look()
    to_do = [work for work in works if work.result.status == _NOT_BEGUN]
    start, end = min(wanted, default=today), max(wanted, default=today)
    if budget is not None:
        budget.targets = len(to_do)
    await run_side_by_side(
        to_do,
        clients,
        store,
        settings or first.settings,
        start=start,
        end=end,
        days_stored=tuple(day for day in days_backwards(start, end) if day not in wanted),
        instruments=instruments,
        halt_switch=switch,
        concurrency=concurrency,
        one_at_a_time=budget is not None,
    )
    results = [work.result for work in works]
    for result in results:
        if result.status == "paused":
            result.reason = f"the next sync goes on from here (--max-requests {max_requests:,})"
    return results


@attrs.define(eq=False)
class _Budget:
    """Queries that may be sent yet, and the targets that want some."""

    limiter: BudgetedRateLimiter
    left: int
    targets: int = 0
    """How many had no turn yet."""

    def take_share(self) -> int:
        """An equal part of what is left, for the target whose turn it is."""
        share = -(-self.left // self.targets)
        self.targets -= 1
        return share


def _budget_of(limiter: RateLimiter, max_requests: int | None) -> _Budget | None:
    if max_requests is None:
        return None
    if not isinstance(limiter, BudgetedRateLimiter):
        raise UsageError("max_requests needs clients that share a BudgetedRateLimiter")
    return _Budget(limiter, max_requests)


@attrs.define(eq=False)
class _TargetWork:
    """A target, as a piece of work."""

    target: SyncTarget
    store: SyncStore
    today: dt.date
    budget: _Budget | None
    days: int = attrs.field(default=0, init=False)
    result: TargetResult = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.result = TargetResult(self.target.query)

    @property
    def site_url(self) -> str:
        """The property."""
        return self.target.query.site_url

    async def look(self) -> AbstractSet[dt.date]:
        """Look what it lacks."""
        needs = await needs_of(self.store, self.target, self.today)
        self.days = self.result.days_wanted = len(needs.days)
        self.result.days_replaced = len(needs.outdated)
        if not self.days:
            self.result.status = "nothing to do"
        return needs.days

    async def run(self, turn: Turn) -> Outcome:
        """Fetch what it lacks, with no more queries than its share, and keep a record."""
        result, recorder, meter = self.result, RunRecorder(), RunMeter()
        with turn.also_telling(self.site_url, Instruments([recorder, meter])) as recorded:
            error = await self._fetch(recorded)
        if recorder.range is not None:
            halt = None if result.status == "complete" else Halt(result.reason, result.status)
            summary = meter.summary(self.site_url, *recorder.range, halt)
            query, settings = self.target.query, turn.settings
            await keep_record(recorder, summary, query, settings, self.store, logger.warning)
        return Outcome(result.status, result.reason, result.days, result.rows, error)

    async def _fetch(self, turn: Turn) -> BaseException | None:
        """Returns what stopped it."""
        result, budget = self.result, self.budget
        share = None if budget is None else budget.take_share()
        needs = await needs_of(self.store, self.target, self.today)
        result.status = "complete"
        # Pages of days that are replaced wait in memory: of all runs together no more than these.
        at_once = AT_ONCE if turn.concurrency is None else min(AT_ONCE, turn.concurrency.limit)
        for run in _runs_of(self.target, needs, at_once):
            if share is not None and result.requests >= share:
                result.status = "paused"
                break
            queries = None if share is None else share - result.requests
            error = await self._backfill(turn, run, queries)
            if result.status == "paused" and result.days >= self.days:
                # The last query was the last one needed, and another worker wanted more.
                result.status, result.reason = "complete", ""
            if result.status != "complete":
                return error
        return None

    async def _backfill(self, turn: Turn, run: _Run, queries: int | None) -> BaseException | None:
        async with following(turn.halt_switch) as switch:
            watching = list(turn.instruments)
            if self.budget is not None and queries is not None:
                self.budget.limiter.begin(queries, partial(switch.request, _SPENT))
                watching.append(self.budget.limiter)
            summary = await backfill(
                turn.client,
                run.query,
                WholeDays(self.store, run.days, run.replaced),
                start=min(run.days),
                end=max(run.days),
                settings=turn.settings,
                concurrency=turn.concurrency,
                instruments=watching,
                halt_switch=switch,
                journal=turn.journal,
                today=self.today,
            )
        self._add(summary)
        return switch.halt.error if switch.halt else None

    def _add(self, summary: RunSummary) -> None:
        """Count a run in."""
        result = self.result
        result.status, result.reason = summary.status, summary.reason
        result.days += summary.days
        result.days_fetched_again += summary.days_fetched_again
        result.rows += summary.rows
        result.requests += summary.requests
        if self.budget is not None:
            self.budget.left -= summary.requests

    def conclude(self, outcome: Outcome) -> None:
        """Take note that it was never begun, or ended with an error."""
        if self.budget is not None and self.result.status == _NOT_BEGUN:
            self.budget.targets -= 1
        self.result.status, self.result.reason = outcome.status, outcome.reason


def _runs_of(target: SyncTarget, needs: Needs, at_once: int) -> Iterable[_Run]:
    """Days to be replaced first, no more at once than it says; then the newest first.

    Days that are not final come last: they are fetched again each time, and a small budget would
    be spent on them alone.
    """
    final = with_fresh = target.query
    if not target.query.is_hourly:
        final = attrs.evolve(target.query, data_state="final")
        with_fresh = attrs.evolve(target.query, data_state="all")
    outdated = sorted(needs.outdated, reverse=True)
    for start in range(0, len(outdated), at_once):
        chunk = frozenset(outdated[start : start + at_once])
        yield _Run(final, chunk, chunk)
    if needs.missing:
        yield _Run(final, frozenset(needs.missing), frozenset())
    if needs.fresh:
        yield _Run(with_fresh, frozenset(needs.fresh), frozenset(needs.fresh))
