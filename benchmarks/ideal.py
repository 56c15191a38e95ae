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

from collections.abc import Sequence

from benchmarks.latency_model import LatencyModel
from gsc_trio.rollout.ideal import makespan_bound


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
