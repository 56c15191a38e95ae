"""The fake's quotas: counted by arrival, in any window.

Queries are counted by site, user and project, URL inspections by site.
"""

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
        return self.peak("site")

    def peak(self, kind: str) -> int:
        """The most queries that arrived in any window.

        Args:
            kind: of one ``site``, one ``user``, the ``project``, or in a ``burst``.
        """
        peaks = [count.peak for (each, _), count in self._counts.items() if each == kind]
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


@attrs.define(eq=False)
class InspectionQuota:
    """The limits of URL Inspection, and what was counted against them.

    Args:
        per_minute: of each site.
        per_day: of each site; the fake's day is 24 hours.
    """

    per_minute: int = 600
    per_day: int = 2_000
    refused: int = attrs.field(default=0, init=False)
    """Inspections that were over a limit."""
    _counts: dict[tuple[str, str], _Count] = attrs.field(factory=dict, init=False)

    def admit(self, site_url: str) -> str | None:
        """Count an inspection that arrives now; returns the limit that it is over, if any."""
        now = trio.current_time()
        exceeded = None
        for name, limit, seconds in (
            ("day", self.per_day, 86_400.0),
            ("minute", self.per_minute, 60.0),
        ):
            count = self._counts.setdefault((name, site_url), _Count(limit, seconds))
            if not count.admit(now):
                exceeded = exceeded or name
        self.refused += exceeded is not None
        return exceeded

    @property
    def peak_per_minute(self) -> int:
        """The most inspections of one site that arrived in any 60 seconds."""
        peaks = [count.peak for (name, _), count in self._counts.items() if name == "minute"]
        return max(peaks, default=0)
