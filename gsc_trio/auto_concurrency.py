"""``max_concurrency = "auto"``: how many workers are worth having is found out while they work.

Adds one worker at a time, for as long as

- less than 80 % of every quota is used, and would be at this pace for a whole minute,
- answers come about as fast as they did with fewer workers, and
- there is work for another one.

When answers have become slower, the last worker leaves again. When Google refuses queries as too
many, half of the workers leave at once. After either, none is added for five minutes.

It judges by rounds: a round is over when as many batches are done as there are workers, all of
them begun with that number of workers. So what it decides follows from what happened, and from
trio's clock, alone. Each decision is a `gsc_trio.telemetry.events.ConcurrencyChanged` with its
reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import attrs
import trio

from gsc_trio.concurrency import Concurrency
from gsc_trio.config import HIGHEST_CONCURRENCY
from gsc_trio.rate_limiter import APPROACHING_SHARE, RateLimiter
from gsc_trio.telemetry.events import BatchFinished, BatchTaken, Event, QuotaExceeded

ROUND_SECONDS = 5.0
"""A round takes at least this long: many short batches tell more than a few."""

SLOWER = 1.25
"""Answers that take this many times as long are slower; less may be chance."""

HOLD_SECONDS = 300.0
"""How long nothing is added after there were too many, and how long a pace is remembered."""


@attrs.frozen
class Pace:
    """How fast a round went."""

    workers: int
    seconds_per_batch: float
    seconds_per_query: float

    @classmethod
    def of(cls, workers: int, batches: Sequence[BatchFinished]) -> Self:
        """The pace of so many workers, who did these batches.

        Args:
            workers: how many there were.
            batches: at least one.
        """
        seconds = sum(batch.duration_seconds for batch in batches)
        seconds = max(seconds, 1e-6)  # in virtual time it may be 0
        queries = sum(batch.jobs for batch in batches)
        return cls(workers, seconds / len(batches), seconds / queries)

    @property
    def queries_per_minute(self) -> float:
        """How many queries they ask in a minute, if nothing holds them up."""
        return 60 * self.workers / self.seconds_per_query

    def slowdown_since(self, other: Pace) -> float:
        """How many times as long answers take as they did at another pace.

        Batches shrink when more workers share the work, and Google may answer the queries of a
        batch one after another or side by side. So only what is slower both ways is slower.
        """
        return min(
            self.seconds_per_batch / other.seconds_per_batch,
            self.seconds_per_query / other.seconds_per_query,
        )


@attrs.define(eq=False)
class AutoConcurrency:
    """An instrument of a run that changes its concurrency, while that is ``"auto"``.

    Args:
        concurrency: what it changes.
        limiter: what knows how much of the quota is used.
        user: whose quota it is.
        site: the property.
    """

    concurrency: Concurrency
    limiter: RateLimiter
    user: str
    site: str
    _workers: int = attrs.field(default=0, init=False)
    """How many workers this round is about."""
    _batches: list[BatchFinished] = attrs.field(factory=list, init=False)
    """What they have done in it."""
    _round_began_at: float = attrs.field(default=-math.inf, init=False)
    _changed_at: float = attrs.field(default=-math.inf, init=False)
    """Since when there are so many."""
    _best: Pace | None = attrs.field(default=None, init=False)
    """The fastest answers, as long as they are remembered."""
    _best_at: float = attrs.field(default=-math.inf, init=False)
    _holds_until: float = attrs.field(default=-math.inf, init=False)
    _last_began_at: float = attrs.field(default=-math.inf, init=False)
    """When the batch left that was finished last: what is refused belongs to it."""
    _has_work_left: bool = attrs.field(default=False, init=False)

    def handle(self, event: Event) -> None:
        """Take note of an event, and decide."""
        if self.concurrency.setting != "auto":
            return
        if self.concurrency.limit != self._workers:
            self._workers, self._changed_at = self.concurrency.limit, trio.current_time()
            self._begin_round()
        match event:
            case BatchTaken():
                self._has_work_left = event.queue_depth > 0
            case BatchFinished():
                self._note_batch(event)
            case QuotaExceeded() if self._last_began_at >= self._changed_at:
                self._back_off(event)
            case _:
                pass

    def _begin_round(self) -> None:
        self._batches.clear()
        self._round_began_at = trio.current_time()

    def _note_batch(self, batch: BatchFinished) -> None:
        now = trio.current_time()
        self._last_began_at = now - batch.duration_seconds + 1e-6  # whatever was rounded
        if self._last_began_at >= self._changed_at and not batch.failed:
            self._batches.append(batch)
        is_over = now - self._round_began_at >= ROUND_SECONDS
        if is_over and len(self._batches) >= self._workers:
            pace = Pace.of(self._workers, self._batches)
            self._begin_round()
            self._judge(pace, now)

    def _judge(self, pace: Pace, now: float) -> None:
        """A round is over."""
        if self._best is None or now - self._best_at >= HOLD_SECONDS:
            self._best, self._best_at = pace, now
        best, slowdown = self._best, pace.slowdown_since(self._best)
        if slowdown < 1:
            self._best, self._best_at = pace, now
        if slowdown >= SLOWER:
            if pace.workers > best.workers:
                self._holds_until = now + HOLD_SECONDS
                self.concurrency.adapt(
                    pace.workers - 1,
                    f"answers take {slowdown - 1:.0%} longer than with {best.workers} workers",
                )
        elif now >= self._holds_until and self._has_work_left:
            use = self._quota_use(pace)
            if use < APPROACHING_SHARE and pace.workers < HIGHEST_CONCURRENCY:
                self.concurrency.adapt(
                    pace.workers + 1, f"{use:.0%} of the quota is used, and answers come as fast"
                )

    def _quota_use(self, pace: Pace) -> float:
        """The largest share of a limit that is used, or would be after a minute at this pace."""
        return max(
            max(use.used, pace.queries_per_minute) / use.limit
            for use in self.limiter.quota_use(self.user, self.site)
        )

    def _back_off(self, event: QuotaExceeded) -> None:
        """Google refused queries that these workers sent, and not those before them."""
        self._holds_until = trio.current_time() + HOLD_SECONDS
        queries = "a query" if event.queries == 1 else f"{event.queries} queries"
        self.concurrency.adapt(max(1, self._workers // 2), f"Google refused {queries}: too many")
