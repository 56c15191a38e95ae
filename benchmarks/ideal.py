"""The shortest time that a cell of the matrix could take, whatever the program did.

A lower bound that no schedule beats, as the largest of three:

- **latency**: the calls' latencies on so many workers, each with one request at a time. A call is
  on one worker as a whole, so beside total ÷ workers it holds that, of the k·w + 1 longest calls,
  some worker has k + 1, and that a day's calls follow each other. Where the parts of a batch are
  answered one after another, batches change nothing; where they are answered in parallel, a batch
  takes as long as its slowest call, and no calls of one day are in the same batch.
- **quota**: of any 1,200 calls and one, the last waits until a minute has passed since the first
  was answered. Latency is scaled, the minute is not.
- **processor**: the client's CPU seconds of a run without latency ÷ the machine's cores, taken in
  the same session. That is what this program costs today if all its work could be spread evenly
  over all cores. A global interpreter lock and the server's own work keep it from being reached,
  so cells that are bound by it show an efficiency well below 1. It is no excuse either: a slower
  program has a higher floor. What the program costs is the matter of ``benchmarks/ingest``.

Neither the start of a connection nor a commit is in it, so the ideal can be neared, not reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import attrs

from benchmarks.latency_model import LatencyModel

QUOTA_SECONDS = 60.0


@attrs.frozen
class Ideal:
    """The three bounds of a cell, in seconds."""

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


def latency_bound(
    days: Sequence[Sequence[int]], model: LatencyModel, workers: int, batch_size: int
) -> float:
    """The shortest time in which the calls of some days can be answered, in seconds.

    Args:
        days: for each day the rows of each of its calls, one after another.
        model: how long calls take.
        workers: how many requests there are at a time.
        batch_size: how many calls are in a request at the most.
    """
    calls = sorted((model.seconds(rows) for day in days for rows in day), reverse=True)
    longest_day = max((sum(map(model.seconds, day)) for day in days), default=0.0)
    # In parallel, the batches that take least are those of calls that are about as long.
    requests = calls[::batch_size] if model.parallel_parts else calls
    return max(longest_day, makespan_bound(requests, workers))


def makespan_bound(durations: Sequence[float], workers: int) -> float:
    """How long it takes at least until workers have done things that cannot be divided.

    Args:
        durations: of each thing, the longest first.
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
    return max(0, calls - 1) // queries_per_minute * QUOTA_SECONDS
