"""Hours in milliseconds: run a program on trio's MockClock, which jumps whenever all tasks wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio.testing

from gsc_trio.model import Page
from gsc_trio.spill import SpilledPage, SpillFile

T = TypeVar("T")


def run_in_virtual_time(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """`trio.run` with a clock that starts at 0 and skips all waiting.

    Each call has a clock of its own, so it may be used within a Hypothesis test. Threads are real:
    while one works, the clock must not jump, so nothing under it may use them.

    Returns:
        What the function returns.
    """
    return trio.run(function, *args, clock=trio.testing.MockClock(autojump_threshold=0))


class SpillInMemory(SpillFile):
    """Keeps spilled pages without a thread, which virtual time could not see."""

    async def write(self, page: Page) -> SpilledPage:
        """Keep a page, after one checkpoint."""
        await trio.lowlevel.checkpoint()
        return SpilledPage(page, 0, 0)

    async def read(self, spilled: SpilledPage) -> Page:
        """Give a page back, after one checkpoint."""
        await trio.lowlevel.checkpoint()
        return spilled.page

    def discard(self, spilled: SpilledPage) -> None:
        """Forget a page."""
