"""A rate limiter with a budget: so many queries, and then the run is to end.

The budget is one more key that permits are taken from, with a window that never ends: so no query
is ever sent beyond it, permits that were not needed go back to it, and the last batch is a smaller
one. When it is spent, every answer has been handed on, and a worker asks for more, the run is to
end; not earlier, since ending a run cancels what is out, and what is answered and not handed on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import trio

from gsc_trio.permits import Grant, QuotaKey, Waiter
from gsc_trio.quota_window import QuotaWindow
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.events import Event, WorkerEnded


class BudgetedRateLimiter(RateLimiter):
    """A rate limiter, and an instrument of the runs that it gives permits to."""

    _budget: QuotaKey | None = None
    _on_spent: Callable[[], None] | None = None
    _acquiring = 0
    _grants: Sequence[Grant] = ()

    def begin(self, queries: int, on_spent: Callable[[], None]) -> None:
        """Give no more than so many permits from now on.

        Args:
            queries: how many, at least 1.
            on_spent: called when they are spent and more are wanted.
        """
        self._budget = QuotaKey(QuotaWindow("max-requests", queries, math.inf))
        self._on_spent = on_spent

    @property
    def spent(self) -> int:
        """How many permits of the budget are used."""
        return self._budget.window.used(trio.current_time()) if self._budget else 0

    def handle(self, event: Event) -> None:
        """A worker that leaves may have been the last that another waits for."""
        if isinstance(event, WorkerEnded):
            self._tell_if_spent()

    async def acquire(
        self, user: str, site: str, count: int = 1, *, at_least: int | None = None
    ) -> Grant:
        """Wait in line for permits; when the budget is spent, until cancelled."""
        self._acquiring += 1
        try:
            self._tell_if_spent()
            return await super().acquire(user, site, count, at_least=at_least)
        finally:
            self._acquiring -= 1

    def _tell_if_spent(self) -> None:
        if self._budget is None or self._on_spent is None or not self._acquiring:
            return
        self._grants = [grant for grant in self._grants if not grant.is_closed]
        if not self._grants and self._budget.window.available(trio.current_time()) <= 0:
            self._on_spent()

    def _take(self, keys: Sequence[QuotaKey], count: int, now: float) -> Grant:
        grant = super()._take(keys, count, now)
        if self._budget is not None:
            self._grants = [*self._grants, grant]
        return grant

    def _join_lines(self, user: str, site: str, count: int, at_least: int | None) -> Waiter:
        waiter = super()._join_lines(user, site, count, at_least)
        if self._budget is not None:
            waiter.keys = [*waiter.keys, self._budget]
            self._budget.line.append(waiter)
        return waiter
