"""Sync targets, one after another: one limiter, one writer, and the least work first.

One after another, since the quota is the user's and one target's workers can use all of it; side by
side they would share it, and the database's one writer, and nobody would be done earlier. The least
work first, so that no site's new days wait for another's long history.

A budget of queries is shared in the same order: each target may spend an equal part of what is left
for it and those after it. Who needs less leaves the rest to the others, and no long history takes
more than its part while others want theirs.

A target that fails, whatever the reason, does not stop the others; only a database that fails does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import attrs

from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole
from gsc_trio.concurrency import Concurrency
from gsc_trio.errors import PermissionDeniedError, StorageError
from gsc_trio.halt import HaltSwitch, following
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.store.database import Database
from gsc_trio.summary import RunSummary
from gsc_trio.sync.budget import BudgetedRateLimiter
from gsc_trio.sync.needs import Needs, needs_of
from gsc_trio.sync.targets import SyncTarget
from gsc_trio.sync.whole_days import AT_ONCE, WholeDays
from gsc_trio.telemetry.instrument import Instrument

OpenClient = Callable[["TargetResult"], AbstractAsyncContextManager[SearchConsole]]
"""Opens a client for a target, with the limiter of the sync; when the client is closed, the result
is what came of the target."""

GOOD = ("complete", "nothing to do", "paused")
"""Statuses with which a sync ends well."""

_SPENT = Halt("the budget of queries is spent", status="paused")


@attrs.define
class TargetResult:
    """What became of a target."""

    query: SearchAnalyticsQuery
    status: str = "not begun"
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
class TargetRun:
    """A part of a target that is one backfill."""

    query: SearchAnalyticsQuery
    days: frozenset[dt.date]
    replaced: frozenset[dt.date]


async def sync(
    store: Database,
    targets: Sequence[SyncTarget],
    open_client: OpenClient,
    limiter: BudgetedRateLimiter,
    *,
    today: dt.date,
    max_requests: int | None = None,
    concurrency: Concurrency | None = None,
    halt_switch: HaltSwitch | None = None,
    instruments: Iterable[Instrument] = (),
) -> Sequence[TargetResult]:
    """Bring targets up to date.

    Args:
        store: the database.
        targets: what is to be there.
        open_client: whom to ask; its limiter is ``limiter``.
        limiter: what all of them share.
        today: the current date in Pacific time.
        max_requests: how many queries may be sent, or None for as many as it takes.
        concurrency: how many workers there are, if that is to be changed while they work.
        halt_switch: what stops everything from outside.
        instruments: who is told what happens.

    Returns:
        The results, in the order of ``targets``.

    Raises:
        StorageError: the database cannot say what is there.
    """
    outer = halt_switch or HaltSwitch()
    work = _Sync(store, limiter, outer, concurrency, instruments, today)
    results = {target: TargetResult(target.query) for target in targets}
    needs = {target: await needs_of(store, target, today) for target in targets}
    left = max_requests
    waiting = sorted(targets, key=lambda target: needs[target].days)
    for number, target in enumerate(waiting):
        result, need = results[target], needs[target]
        result.days_wanted, result.days_replaced = need.days, len(need.outdated)
        share = None if left is None else -(-left // (len(waiting) - number))
        if outer.halt is not None:
            result.reason = outer.halt.reason
        elif not need.days:
            result.status = "nothing to do"
        elif target.query.site_url in work.refused:
            result.status, result.reason = "failed", "not asked for: Google refused this site above"
        elif share == 0:
            result.status = "paused"
        else:
            try:
                async with open_client(result) as client:
                    await work.fetch(client, target, need, result, share)
            except* StorageError as errors:
                result.status, result.reason = "failed", str(_first(errors))
                # The next one would meet the same.
                outer.request(Halt("the database failed", status="failed"))
        if left is not None:
            left -= result.requests
    for result in results.values():
        if result.status == "paused":
            result.reason = f"the next sync goes on from here (--max-requests {max_requests:,})"
    return [results[target] for target in targets]


@attrs.frozen
class _Sync:
    """What all targets share."""

    store: Database
    limiter: BudgetedRateLimiter
    outer: HaltSwitch
    concurrency: Concurrency | None
    instruments: Iterable[Instrument]
    today: dt.date
    refused: set[str] = attrs.field(factory=set, init=False)
    """Sites that this account may not see: asking again would only cost queries."""

    async def fetch(
        self,
        client: SearchConsole,
        target: SyncTarget,
        needs: Needs,
        result: TargetResult,
        share: int | None,
    ) -> None:
        """Fetch what a target needs, with no more queries than its share."""
        result.status = "complete"
        for run in runs_of(target, needs):
            if share is not None and result.requests >= share:
                result.status = "paused"
                return
            budget = None if share is None else share - result.requests
            add_summary(result, await self._backfill(client, run, budget))
            if result.status != "complete":
                break
        if result.status == "paused" and result.days >= needs.days:
            # The last query was the last one needed, and another worker wanted more.
            result.status = "complete"

    async def _backfill(
        self, client: SearchConsole, run: TargetRun, budget: int | None
    ) -> RunSummary:
        async with following(self.outer) as switch:
            watching = list(self.instruments)
            if budget is not None:
                self.limiter.begin(budget, partial(switch.request, _SPENT))
                watching.append(self.limiter)
            summary = await backfill(
                client,
                run.query,
                WholeDays(self.store, run.days, run.replaced),
                start=min(run.days),
                end=max(run.days),
                concurrency=self.concurrency,
                instruments=watching,
                halt_switch=switch,
                today=self.today,
            )
            if switch.halt is not None and isinstance(switch.halt.error, PermissionDeniedError):
                self.refused.add(run.query.site_url)
            return summary


def runs_of(target: SyncTarget, needs: Needs) -> Iterable[TargetRun]:
    """Days to be replaced first, no more at once than fit in memory; then the newest first.

    Days that are not final come last: they are fetched again each time, and a small budget would
    be spent on them alone.
    """
    final = with_fresh = target.query
    if not target.query.is_hourly:
        final = attrs.evolve(target.query, data_state="final")
        with_fresh = attrs.evolve(target.query, data_state="all")
    outdated = sorted(needs.outdated, reverse=True)
    for start in range(0, len(outdated), AT_ONCE):
        chunk = frozenset(outdated[start : start + AT_ONCE])
        yield TargetRun(final, chunk, chunk)
    if needs.missing:
        yield TargetRun(final, frozenset(needs.missing), frozenset())
    if needs.fresh:
        yield TargetRun(with_fresh, frozenset(needs.fresh), frozenset(needs.fresh))


def add_summary(result: TargetResult, summary: RunSummary) -> None:
    """Count a run in."""
    result.status, result.reason = summary.status, summary.reason
    result.days += summary.days
    result.days_fetched_again += summary.days_fetched_again
    result.rows += summary.rows
    result.requests += summary.requests


def _first(error: BaseException) -> BaseException:
    """The first error in a group, however deep."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
