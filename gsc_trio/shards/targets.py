"""A shard's targets side by side: as many at once as there are workers.

What is fetched of a target is what `gsc_trio.sync.run` fetches, and how targets share workers and
quota is `gsc_trio.side_by_side`'s concern. Side by side, since a shard may have thousands of
properties with a day or two to fetch each: one after another, each would wait for the answers of
the one before.

What a target lacks is looked up twice, once to know how much it is and once in its turn, so that
memory does not grow with days times targets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import attrs
import trio

from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole
from gsc_trio.dates import last_final_day, oldest_day
from gsc_trio.halt import HaltSwitch, following
from gsc_trio.model import Halt
from gsc_trio.side_by_side import Outcome, Turn, run_side_by_side
from gsc_trio.sync.needs import SyncStore, needs_of
from gsc_trio.sync.run import GOOD, TargetResult, add_summary, runs_of
from gsc_trio.sync.targets import SyncTarget
from gsc_trio.sync.whole_days import WholeDays
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.telemetry.merged import MergedRuns


async def sync_side_by_side(
    store: SyncStore,
    targets: Sequence[SyncTarget],
    client: SearchConsole,
    *,
    today: dt.date,
    halt_switch: HaltSwitch,
    instruments: Iterable[Instrument],
) -> Sequence[TargetResult]:
    """Bring targets up to date.

    Args:
        store: the database.
        targets: what is to be there, all of it asked for by one account.
        client: whom to ask.
        today: the current date in Pacific time.
        halt_switch: what stops everything from outside.
        instruments: who is told what happens, of all of them together.

    Returns:
        The results, in the order of ``targets``. One that fails does not stop the others.

    Raises:
        StorageError: the database cannot say what is there.
    """
    telemetry = MergedRuns(instruments)
    works = []
    for target in targets:
        days = 0
        if halt_switch.halt is None:
            days = (await needs_of(store, target, today)).days
        works.append(_TargetWork(target, store, today, days))
        if not days and halt_switch.halt is None:
            works[-1].result.status = "nothing to do"
    results = [work.result for work in works]
    began = trio.current_time()
    days = sum(work.days for work in works)
    telemetry.begin(len(works), oldest_day(today), last_final_day(today), days)
    try:
        await run_side_by_side(
            [work for work in works if work.days],
            {target.query.site_url: client for target in targets},
            store,
            client.settings,
            telemetry,
            halt_switch=halt_switch,
        )
    finally:
        bad = sum(result.status not in GOOD for result in results)
        halt = halt_switch.halt or Halt(f"{bad:,} of {len(results):,} targets", status="failed")
        status, reason = (halt.status, halt.reason) if bad else ("complete", "")
        telemetry.finish(status, reason, trio.current_time() - began)
    return results


@attrs.define(eq=False)
class _TargetWork:
    """A target, as a piece of work."""

    target: SyncTarget
    store: SyncStore
    today: dt.date
    days: int
    result: TargetResult = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.result = TargetResult(self.target.query)

    @property
    def site_url(self) -> str:
        """The property."""
        return self.target.query.site_url

    async def run(self, turn: Turn) -> Outcome:
        """Fetch what it lacks."""
        result, error = self.result, None
        needs = await needs_of(self.store, self.target, self.today)
        result.status = "complete"
        result.days_wanted, result.days_replaced = needs.days, len(needs.outdated)
        for run in runs_of(self.target, needs):
            async with following(turn.halt_switch) as switch:
                summary = await backfill(
                    turn.client,
                    run.query,
                    WholeDays(self.store, run.days, run.replaced),
                    start=min(run.days),
                    end=max(run.days),
                    settings=turn.settings,
                    concurrency=turn.concurrency,
                    instruments=turn.instruments,
                    halt_switch=switch,
                    journal=turn.journal,
                    today=self.today,
                )
            add_summary(result, summary)
            if result.status != "complete":
                error = switch.halt.error if switch.halt else None
                break
        return Outcome(result.status, result.reason, result.days, result.rows, error)

    def conclude(self, outcome: Outcome) -> None:
        """Take note that it was never begun, or ended with an error."""
        self.result.status, self.result.reason = outcome.status, outcome.reason
