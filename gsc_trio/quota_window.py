"""One limit on one key: how many permits are out, and when they come back.

A permit is held while its query is unanswered, and then for one window more, counted from the
*response*. Why from there: the server counts a query at some instant between sending and
response. If the permit is used again no sooner than response + window, then any two queries that
held the same permit are counted at least a window apart, whatever the latency was. So the server
counts at most ``limit`` queries in any window, without our clocks being compared.

This class only does the bookkeeping; `gsc_trio.rate_limiter` decides who gets permits. No
operation's cost depends on the limit: what comes back is kept in the order of time, and answers
come in that order, but for queries that were given up or sent by another process.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

CLOCK_DRIFT = 1.0002
"""A permit is held this much longer than the window, since the server's clock may run slower than
ours: quartz is good to about 100 millionths, on both sides."""


@attrs.define(eq=False)
class QuotaWindow:
    """The permits of one key.

    Args:
        key: what the limit is counted against, as ``site https://example.com/``.
        limit: queries in any window.
        seconds: how long the window is.
    """

    key: str
    limit: int
    seconds: float
    unanswered: int = 0
    """Permits of queries that are not answered yet: when they come back is not known."""
    _returning: deque[tuple[float, int]] = attrs.field(factory=deque, init=False)
    """(time, count) in the order of time: permits that come back at a known time."""
    _returning_count: int = attrs.field(default=0, init=False)

    def used(self, now: float) -> int:
        """Permits that are out at a time, in seconds of trio's clock."""
        while self._returning and self._returning[0][0] <= now:
            self._returning_count -= self._returning.popleft()[1]
        return self.unanswered + self._returning_count

    def used_at(self, now: float) -> int:
        """As `used`, for any thread: it changes nothing, and takes a while if the limit is high."""
        returning = self._returning.copy()
        return self.unanswered + sum(count for time, count in returning if time > now)

    def available(self, now: float) -> int:
        """Permits that can be taken at a time."""
        return self.limit - self.used(now)

    def take(self, count: int) -> None:
        """Hand out permits; the caller has seen that they are available."""
        self.unanswered += count

    def put_back(self, count: int) -> None:
        """Take back permits whose queries were never sent."""
        self.unanswered -= count

    def settle(self, count: int, answered_at: float) -> float:
        """Queries were answered (or count as answered) at a time: hold them a window more.

        Returns:
            When they come back.
        """
        self.unanswered -= count
        self._returning_count += count
        time = answered_at + self.seconds * CLOCK_DRIFT
        later = []
        while self._returning and self._returning[-1][0] > time:
            later.append(self._returning.pop())
        self._returning.append((time, count))
        self._returning.extend(reversed(later))
        return time

    def available_at(self, count: int, now: float) -> float:
        """When that many permits will be available, in seconds of trio's clock.

        Infinity if it also takes answers that have not come yet.
        """
        missing = count - self.available(now)
        if missing <= 0:
            return now
        for time, returned in self._returning:
            missing -= returned
            if missing <= 0:
                return time
        return math.inf
