"""The fake's quota: counted by arrival, in any window, by site, user and project."""

from __future__ import annotations

from collections import deque

import attrs
import trio


@attrs.define(eq=False)
class _Count:
    """Arrivals of one key within the last window."""

    limit: int
    seconds: float
    arrivals: deque[float] = attrs.field(factory=deque)
    peak: int = 0

    def admit(self, now: float) -> bool:
        while self.arrivals and self.arrivals[0] <= now - self.seconds:
            self.arrivals.popleft()
        self.arrivals.append(now)
        self.peak = max(self.peak, len(self.arrivals))
        return len(self.arrivals) <= self.limit


@attrs.define(eq=False)
class Quota:
    """Limits, and what was counted against them. Refused queries count as well.

    Args:
        queries_per_minute: of each site and each user.
        project_queries_per_minute: of everyone together.
        burst_queries_per_second: of each user in any second, or None.
    """

    queries_per_minute: int = 1_200
    project_queries_per_minute: int = 40_000
    burst_queries_per_second: int | None = None
    refused: int = 0
    """Queries that were over a limit."""
    _counts: dict[tuple[str, str], _Count] = attrs.field(factory=dict, init=False)

    def admit(self, site_url: str, user: str) -> bool:
        """Count a query that arrives now; returns whether it is within every limit."""
        now = trio.current_time()
        keys = [("site", site_url), ("user", user), ("project", "")]
        if self.burst_queries_per_second is not None:
            keys.append(("burst", user))
        verdicts = [self._count(*key).admit(now) for key in keys]  # every key counts it
        is_within = all(verdicts)
        self.refused += not is_within
        return is_within

    @property
    def peak_queries_per_minute(self) -> int:
        """The most queries of one site that arrived in any 60 seconds."""
        peaks = [count.peak for (kind, _), count in self._counts.items() if kind == "site"]
        return max(peaks, default=0)

    def _count(self, kind: str, name: str) -> _Count:
        if (kind, name) not in self._counts:
            limit, seconds = self.queries_per_minute, 60.0
            if kind == "project":
                limit = self.project_queries_per_minute
            elif kind == "burst" and self.burst_queries_per_second is not None:
                limit, seconds = self.burst_queries_per_second, 1.0
            self._counts[kind, name] = _Count(limit, seconds)
        return self._counts[kind, name]
