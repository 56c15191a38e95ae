"""The results as text: a table for each workload, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from benchmarks.results import MUST, CellResult

HEAD = (
    "workers  batch   seconds     ideal  bound by    efficiency  speed-up  possible     CPU  memory"
)


@attrs.frozen
class Verdict:
    """Whether the speed-up that must be shown was shown."""

    is_good: bool
    text: str


def table_line(result: CellResult) -> str:
    """A cell as a line under `HEAD`."""
    mark = ""
    if result.is_impossible:
        mark = f"  {MUST[result.cell.workers]:g}× is impossible here"
    elif result.must is not None and result.speed_up < result.must:
        mark = f"  BELOW {result.must:g}×"
    elif result.cell.is_sequential:
        mark = "  sequential path"
    return (
        f"{result.cell.workers:7} {result.cell.batch_size:6} {result.median:9.2f} "
        f"{result.ideal.seconds:9.2f}  {result.ideal.bound_by:<9} {result.efficiency:11.0%} "
        f"{result.speed_up:8.2f}× {result.possible_speed_up:8.2f}× {result.cpu_seconds:7.1f}s "
        f"{result.peak_megabytes:4.0f} MB{mark}"
    )


def judge(results: Sequence[CellResult]) -> Verdict:
    """Whether five workers were four times as fast wherever they could be."""
    must = MUST[5]
    judged = [result for result in results if result.cell.workers == 5 and result.must is not None]
    below = [result for result in judged if result.speed_up < must]
    if not judged:
        text = f"no cell with 5 workers in which {must:g}× is possible: nothing was shown"
        return Verdict(is_good=False, text=text)
    worst = min(judged, key=lambda result: result.speed_up)
    if below:
        text = f"{len(below)} of {len(judged)} cells with 5 workers are below {must:g}×"
    else:
        text = f"5 workers are at least {must:g}× as fast in all {len(judged)} cells that allow it"
    text += f"; the least is {worst.speed_up:.2f}× of {worst.possible_speed_up:.2f}× ({worst.name})"
    return Verdict(is_good=not below, text=text)
