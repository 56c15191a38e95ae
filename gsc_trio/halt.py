"""The switch that stops a run: one reason, one cancel scope around whatever fetches."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from gsc_trio.model import Halt


class HaltSwitch:
    """Asks a run to stop; the first reason counts.

    Whoever starts a run may keep one and pass it in, for example to stop it on a signal.
    """

    def __init__(self) -> None:
        self.halt: Halt | None = None
        """Why the run stops, or None while it does not."""
        self.requested_at = math.inf
        """When that was asked for, in seconds of trio's clock."""
        self.scope = trio.CancelScope()
        """What is cancelled: fetching and waiting to fetch, never writing."""
        self.requested = trio.Event()
        """Set when the run is to stop."""
        self.hurried = trio.Event()
        """Set when it is to stop at once, without writing what was already answered."""

    def request(self, halt: Halt) -> None:
        """Stop fetching; pages that were answered are still written within the grace time."""
        if self.halt is None:
            self.halt = halt
            self.requested_at = trio.current_time()
            self.requested.set()
            self.scope.cancel()

    def hurry(self) -> None:
        """Do not write any more either, beyond a transaction that is open."""
        self.hurried.set()


@asynccontextmanager
async def following(outer: HaltSwitch) -> AsyncIterator[HaltSwitch]:
    """A switch for one of several runs: what stops them all stops it, and not the other way round.

    A switch can stop one run only, since its scope is entered once.
    """
    inner = HaltSwitch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_relay, outer, inner)
        yield inner
        nursery.cancel_scope.cancel()


async def _relay(outer: HaltSwitch, inner: HaltSwitch) -> None:
    await outer.requested.wait()
    if outer.halt is not None:
        inner.request(outer.halt)
    await outer.hurried.wait()
    inner.hurry()
