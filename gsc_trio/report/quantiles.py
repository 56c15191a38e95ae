"""How long things took, in bounded memory: p50, p95 and p99 of any number of durations.

Durations are counted in buckets whose bounds grow by 2 %, from a tenth of a millisecond on; so a
quantile is at most 1 % beside the duration that it stands for, and three hours need no more than
940 buckets.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Self

import attrs
import msgspec

SMALLEST_SECONDS = 1e-4
"""What is shorter counts as this long."""

GROWTH = 1.02

LARGEST_SECONDS = 10_800.0
"""What is longer counts as this long."""


class Quantiles(msgspec.Struct, frozen=True):
    """What is kept of many durations, all in seconds; 0 where there were none."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    longest: float = 0.0


@attrs.define(eq=False)
class Durations:
    """Any number of durations, by their buckets."""

    longest: float = 0.0
    _counts: Counter[int] = attrs.field(factory=Counter)

    def add(self, seconds: float, count: int = 1) -> None:
        """Count one, or some that took equally long."""
        bounded = min(max(seconds, SMALLEST_SECONDS), LARGEST_SECONDS)
        self._counts[round(math.log(bounded / SMALLEST_SECONDS, GROWTH))] += count
        self.longest = max(self.longest, seconds)

    def merge(self, other: Self) -> None:
        """Count those of another, too."""
        self._counts.update(other._counts)
        self.longest = max(self.longest, other.longest)

    def quantiles(self) -> Quantiles:
        """What they come to."""
        count = self._counts.total()
        if not count:
            return Quantiles()
        p50, p95, p99 = (self._at(math.ceil(share * count)) for share in (0.5, 0.95, 0.99))
        return Quantiles(count, p50, p95, p99, round(self.longest, 4))

    def _at(self, rank: int) -> float:
        """The duration with this rank, the shortest's being 1."""
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank <= 0:
                break
        return round(min(SMALLEST_SECONDS * GROWTH**bucket, self.longest), 4)
