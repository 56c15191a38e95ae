"""Simulated worlds, many at a time, on all processors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import attrs

from gsc_trio.testing import BrokenPromiseError, simulate

CHUNK = 50


@attrs.frozen
class WorldsReport:
    """What became of some worlds."""

    worlds: int
    deaths: int
    halts: int
    broken: tuple[str, ...]
    """What was broken in which seed, each with the command that replays it."""


def simulate_chunk(first: int, end: int) -> WorldsReport:
    """The worlds of the seeds from the first on and before the end."""
    worlds = deaths = halts = 0
    broken = []
    for seed in range(first, end):
        worlds += 1
        try:
            report = simulate(seed)
        except BrokenPromiseError as error:
            broken.append(str(error))
        else:
            deaths += report.deaths
            halts += report.halts
    return WorldsReport(worlds, deaths, halts, tuple(broken))


def simulate_many(first: int, seeds: int, chunk: int = CHUNK) -> Iterator[WorldsReport]:
    """Chunk by chunk, in order."""
    # Spawned, not forked: nothing is inherited that could make a seed's world another one.
    context = multiprocessing.get_context("spawn")
    end = first + seeds
    firsts = range(first, end, chunk)
    ends = [min(each + chunk, end) for each in firsts]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield from pool.map(simulate_chunk, firsts, ends)
