"""The results as text: a table for each workload, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from benchmarks.matrix import DEFAULT_BATCH_SIZE, DEFAULT_WORKERS, Cell
from benchmarks.results import MUST, CellResult

HEAD = (
    "workers  batch   seconds     ideal  bound by    efficiency  speed-up  possible     CPU  "
    "memory  busy"
)
"""``busy``: the share of the time in which something on the machine waited for a core."""

DEFAULT_CELL = Cell(DEFAULT_WORKERS, DEFAULT_BATCH_SIZE)
DEFAULTS_MUST = 0.9
"""The efficiency that default settings must show."""


@attrs.frozen
class Verdict:
    """Whether what must be shown was shown."""

    is_good: bool
    text: str
    """A line for each thing that was asked for."""


def table_line(result: CellResult) -> str:
    """A cell as a line under `HEAD`."""
    mark = ""
    if result.is_impossible:
        mark = f"  {MUST[result.cell.workers]:g}× is impossible here"
    elif result.must is not None and result.speed_up < result.must:
        mark = f"  BELOW {result.must:g}×"
    elif result.cell.is_sequential:
        mark = "  sequential path"
    busy = "    –" if math.isnan(result.waiting_share) else f"{result.waiting_share:5.0%}"
    return (
        f"{result.cell.workers:7} {result.cell.batch_size:6} {result.median:9.2f} "
        f"{result.ideal.seconds:9.2f}  {result.ideal.bound_by:<9} {result.efficiency:11.0%} "
        f"{result.speed_up:8.2f}× {result.possible_speed_up:8.2f}× {result.cpu_seconds:7.1f}s "
        f"{result.peak_megabytes:4.0f} MB {busy}{mark}"
    )


def judge(results: Sequence[CellResult]) -> Verdict:
    """What was asked for, and what was shown; five workers decide."""
    lines = [_shown(results, workers, must) for workers, must in MUST.items()]
    defaults = [result for result in results if result.cell == DEFAULT_CELL]
    if defaults:
        shares = ", ".join(f"{result.efficiency:.0%} ({result.workload})" for result in defaults)
        lines.append(f"default settings, ≥ {DEFAULTS_MUST:.0%} of the ideal: {shares}")
    decisive = [result for result in results if result.cell.workers == 5 and result.must]
    return Verdict(
        is_good=bool(decisive) and all(result.speed_up >= MUST[5] for result in decisive),
        text="\n".join(lines),
    )


def _shown(results: Sequence[CellResult], workers: int, must: float) -> str:
    measured = [result for result in results if result.cell.workers == workers]
    allowing = [result for result in measured if result.must is not None]
    asked = f"{workers} workers, ≥ {must:g}×"
    if not allowing:
        return f"{asked}: nothing was shown, since no cell that was measured allows it"
    good = sum(result.speed_up >= must for result in allowing)
    worst = min(allowing, key=lambda result: result.speed_up)
    impossible = len(measured) - len(allowing)
    return (
        f"{asked}: shown in {good} of {len(allowing)} cells that allow it; the least is "
        f"{worst.speed_up:.2f}× of {worst.possible_speed_up:.2f}× ({worst.name})"
        + (f"; impossible in {impossible} more" if impossible else "")
    )
