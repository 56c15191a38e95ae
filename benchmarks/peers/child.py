"""One run of a peer in a process of its own: ``python -m benchmarks.peers.child PEER TASK``."""

from __future__ import annotations

import resource
import sys
import time
from importlib import import_module
from typing import cast

import msgspec

from benchmarks.peers.peer import Peer, PeerResult, PeerTask


def run(peer: Peer, task: PeerTask) -> PeerResult:
    """Time a peer."""
    copy = peer.prepare(task)
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    copy()
    return PeerResult(time.perf_counter() - began, _cpu_seconds() - cpu_before)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    chosen = cast("Peer", import_module(f"benchmarks.peers.{sys.argv[1]}"))
    result = run(chosen, msgspec.json.decode(sys.argv[2], type=PeerTask))
    print(msgspec.json.encode(result).decode())
