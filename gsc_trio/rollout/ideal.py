"""The shortest time in which calls can be answered by so many workers: what speed-ups are held to.

A lower bound that no schedule beats, as the largest of three. **Latency**: a call is on one worker
as a whole, and a day's calls follow each other. **Quota**: of any 1,200 calls and one, the last
waits until a minute has passed since the first was answered. **Processor**: what the program costs,
if that could be spread evenly over all cores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import attrs

from gsc_trio.rate_limiter import WINDOW_SECONDS


@attrs.frozen
class Ideal:
    """The three bounds of a run, in seconds."""

    latency: float
    quota: float
    processor: float

    @property
    def seconds(self) -> float:
        """The shortest possible time."""
        return max(self.latency, self.quota, self.processor)

    @property
    def bound_by(self) -> str:
        """What makes it no shorter: ``latency``, ``quota`` or ``processor``."""
        return max(attrs.asdict(self).items(), key=lambda bound: bound[1])[0]


def makespan_bound(durations: Sequence[float], workers: int) -> float:
    """How long it takes at least until workers have done things that cannot be divided.

    Args:
        durations: of each thing, the longest first, in seconds.
        workers: how many there are.
    """
    totals = [0.0, *accumulate(durations)]
    bound = totals[-1] / workers
    for share in range(1, math.ceil(len(durations) / workers)):
        # Of the longest share × workers + 1, someone has share + 1; those are no shorter than
        # the shortest among them.
        last = share * workers + 1
        bound = max(bound, totals[last] - totals[last - share - 1])
    return max(bound, durations[0] if durations else 0.0)


def quota_bound(calls: int, queries_per_minute: int) -> float:
    """How long the quota makes so many calls last at least, in seconds."""
    return max(0, calls - 1) // queries_per_minute * WINDOW_SECONDS
