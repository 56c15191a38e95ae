"""gsc-trio with a query in each HTTP request, as the other concurrent peers have it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.peers import gsc_trio_batches
from benchmarks.peers.peer import PeerTask

TITLE = "gsc-trio, one query a request"
REQUIRES = ("gsc-trio",)
IS_CONCURRENT = True
SENDS_BATCHES = False
WRITES = gsc_trio_batches.WRITES
SELECT = gsc_trio_batches.SELECT


def prepare(task: PeerTask) -> Callable[[], None]:
    """Build nothing."""
    return partial(gsc_trio_batches.copy, task, batch_size=1)
