"""Costs, tables and verdicts of `benchmarks.rate_limiter`, `benchmarks.coordinator` and peers.

Costs are seconds of this thread's processor time, so other programs on the machine cost nothing.
A benchmark that waits does so in virtual time, which is free. What trio itself takes for tasks
that wait and wake is part of the cost, since there is no waiting without it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import click

from benchmarks.machine import describe_machine

MUST_MICROSECONDS = 100.0
"""What limiter and coordinator together may take for a job."""

AIM_MICROSECONDS = 30.0
"""What they should take."""

FLAT_RATIO = 1.5
"""The cost of one item may be so many times as high at the largest size as at the smallest: less
would be the noise of the machine, while what grows with the size grows a hundredfold and more."""


@attrs.frozen
class Cost:
    """What a number of items cost."""

    scenario: Mapping[str, Any]
    """What was measured, by the names of the table's columns."""
    items: int
    seconds: float

    @property
    def microseconds(self) -> float:
        """Per item."""
        return self.seconds / self.items * 1e6


class Stopwatch:
    """Measures this thread's processor time in a ``with`` block, from clean garbage collection."""

    seconds = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._started_at = time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.thread_time() - self._started_at


def growth(costs: Iterable[Cost]) -> float:
    """How many times the cost of an item at the smallest size it is at the largest."""
    ordered = sorted(costs, key=lambda cost: cost.items)
    return ordered[-1].microseconds / ordered[0].microseconds


def sizes_up_to(largest: int) -> list[int]:
    """Powers of ten from 1,000 on, and the largest itself."""
    sizes = [size for size in (1_000, 10_000, 100_000) if size < largest]
    return [*sizes, largest]


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns; those of numbers to the right."""
    cells = [[_as_text(value) for value in row] for row in rows]
    padded = []
    for name, *texts in zip(columns, *cells, strict=True):
        width = max(map(len, (name, *texts)))
        is_numbers = all(text[:1].isdigit() for text in texts)
        padded.append([f"{text:{'>' if is_numbers else '<'}{width}}" for text in (name, *texts)])
    for line in zip(*padded, strict=True):
        click.echo("  " + "  ".join(line).rstrip())


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    """Write results with what they were measured on."""
    results = {"machine": describe_machine(), **results}
    path.write_text(json.dumps(results, indent=2) + "\n")


def _as_text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def finish(faults: Sequence[str]) -> None:
    """Say the verdict; exits with 1 if there are faults."""
    for fault in faults:
        click.echo(f"NOT AS IT MUST BE: {fault}", err=True)
    sys.exit(1 if faults else 0)
