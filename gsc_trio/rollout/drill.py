"""The drill: a run at full width is halted, resumed, and dropped to one worker, each in mid-run.

That is what the playbook's rollback table promises, so it is done before anyone needs it, with a
clock beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import attrs
import trio

from gsc_trio.concurrency import Concurrency
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, Job
from gsc_trio.rollout.findings import Drill
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import Event, PageAnswered, PageCommitted, WorkerEnded, WorkerStarted
from gsc_trio.telemetry.instrument import Instrument

HALT_REASON = "the drill: halted in mid-run"
ROLLBACK_REASON = "the drill: down to one worker in mid-run"


class StartRun(Protocol):
    """Runs what is left of the drill's days."""

    def __call__(
        self, instrument: Instrument, halt_switch: HaltSwitch, concurrency: Concurrency
    ) -> Awaitable[RunSummary]:
        """Run until it is done or halted."""


@attrs.define(eq=False)
class _Watch:
    """An instrument that tells when a run has come so far, and how many workers there are."""

    pages: int
    """How many pages are to be answered first."""
    is_far_enough: trio.Event = attrs.field(factory=trio.Event)
    committed: set[Job] = attrs.field(factory=set)
    alone_since: float | None = None
    """Since when there is one worker, or none; None while there are more."""
    _answered: int = 0
    _workers: set[str] = attrs.field(factory=set)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case PageAnswered():
                self._answered += 1
                if self._answered >= self.pages:
                    self.is_far_enough.set()
            case PageCommitted(page):
                self.committed.add(page.job)
            case WorkerStarted(worker):
                self._workers.add(worker)
                if len(self._workers) > 1:
                    self.alone_since = None
            case WorkerEnded(worker):
                self._workers.discard(worker)
                if len(self._workers) <= 1 and self.alone_since is None:
                    self.alone_since = trio.current_time()
            case _:
                pass


async def drill(start_run: StartRun, *, days: int, width: int) -> tuple[RunSummary, Drill]:
    """Halt a run, resume it, drop it to one worker, and let it finish.

    Args:
        start_run: runs what is left.
        days: how many days there are.
        width: how many workers to begin with.

    Returns:
        The totals of both runs, and what was measured.
    """
    first, halt_seconds, before = await _halt_in_mid_run(start_run, max(1, days // 4), width)
    if first.status != "halted":
        return first, Drill(halt_seconds, None, pages_committed_twice=0)
    rest, rollback_seconds, after = await _drop_in_mid_run(start_run, max(1, days // 8), width)
    measured = Drill(halt_seconds, rollback_seconds, len(before.committed & after.committed))
    return _together(first, rest), measured


async def _halt_in_mid_run(
    start_run: StartRun, pages: int, width: int
) -> tuple[RunSummary, float | None, _Watch]:
    watch, switch = _Watch(pages), HaltSwitch()

    async def halt() -> None:
        await watch.is_far_enough.wait()
        switch.request(Halt(HALT_REASON))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(halt)
        summary = await start_run(watch, switch, Concurrency(width))
        seconds = trio.current_time() - switch.requested_at
        nursery.cancel_scope.cancel()
    return summary, seconds if summary.reason == HALT_REASON else None, watch


async def _drop_in_mid_run(
    start_run: StartRun, pages: int, width: int
) -> tuple[RunSummary, float | None, _Watch]:
    watch, concurrency = _Watch(pages), Concurrency(width)
    dropped_at: float | None = None

    async def drop() -> None:
        nonlocal dropped_at
        await watch.is_far_enough.wait()
        dropped_at = trio.current_time()
        concurrency.change(1, ROLLBACK_REASON)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drop)
        summary = await start_run(watch, HaltSwitch(), concurrency)
        nursery.cancel_scope.cancel()
    if dropped_at is None or watch.alone_since is None:
        return summary, None, watch
    return summary, max(0.0, watch.alone_since - dropped_at), watch


def _together(first: RunSummary, rest: RunSummary) -> RunSummary:
    names = ("days", "pages", "rows", "requests", "http_batches", "retries", "duration_seconds")
    sums = {name: getattr(first, name) + getattr(rest, name) for name in names}
    return attrs.evolve(rest, **sums)
