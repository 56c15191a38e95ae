"""Results: one cell's figures, and all cells as a pyperf file.

The file is read by pyperf itself (``python -m pyperf show FILE``, ``compare_to``, ``stats``): a
benchmark for each cell, a pyperf run for each measured process, and the figures below as metadata
beside the description of the machine. `load_results` reads it for the charts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import attrs
import msgspec
import pyperf

from benchmarks.machine import Machine
from benchmarks.matrix import Cell
from gsc_trio.errors import UsageError
from gsc_trio.rollout.ideal import Ideal

BACKFILL_150 = "backfill_150"
PARALLEL_PARTS = "_parallel_parts"
"""The name of the result file in a folder of results, and what the second model adds to it."""

MUST = {5: 4.0, 10: 8.0}
"""How many times as fast as the sequential path so many workers must be, where it is possible."""


@attrs.frozen
class CellResult:
    """A cell's figures."""

    workload: str
    cell: Cell
    latency_scale: float
    ideal: Ideal
    seconds: list[float]
    """Of each run."""
    sequential_seconds: float
    """The median of the sequential path with the same batch size."""
    sequential_ideal: Ideal
    """The ideal of that cell."""
    cpu_seconds: float
    peak_megabytes: float
    waiting_share: float
    """In what share of the time something on the machine waited for a core; NaN if not known.

    On an idle machine it is near 0 in cells that latency bounds.
    """

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.seconds)

    @property
    def speed_up(self) -> float:
        """How many times as fast as the sequential path it was."""
        return self.sequential_seconds / self.median

    @property
    def possible_speed_up(self) -> float:
        """How many times as short as the sequential path's the ideal is: by the model alone.

        A speed-up may come out higher, by what the sequential path needs beyond its ideal.
        """
        return self.sequential_ideal.seconds / self.ideal.seconds

    @property
    def efficiency(self) -> float:
        """The ideal as a share of what was measured."""
        return self.ideal.seconds / self.median

    @property
    def must(self) -> float | None:
        """The speed-up that it must show, or None if none is asked for or possible."""
        must = MUST.get(self.cell.workers)
        return must if must is not None and self.possible_speed_up >= must else None

    @property
    def is_impossible(self) -> bool:
        """Whether the ideal is too long for the speed-up that so many workers must show."""
        return self.cell.workers in MUST and self.must is None

    @property
    def name(self) -> str:
        """The cell in words."""
        workers = "1 worker" if self.cell.is_sequential else f"{self.cell.workers} workers"
        return f"{self.workload}, {workers}, batches of {self.cell.batch_size}"


def as_suite(
    results: Iterable[CellResult], machine: Machine, notes: Mapping[str, str]
) -> pyperf.BenchmarkSuite:
    """All results as pyperf has them.

    Args:
        results: the cells.
        machine: where they were measured.
        notes: what else a reader must know, by name: the latency model, the cassettes' labels.
    """
    return pyperf.BenchmarkSuite(
        [
            pyperf.Benchmark(
                [
                    pyperf.Run(
                        [seconds],
                        metadata={**machine, **notes, **_figures(result)},
                        collect_metadata=False,
                    )
                    for seconds in result.seconds
                ]
            )
            for result in results
        ]
    )


def _figures(result: CellResult) -> dict[str, str | int | float]:
    return {
        "name": result.name,
        "unit": "second",
        "loops": 1,
        "workload": result.workload,
        "workers": result.cell.workers,
        "batch_size": result.cell.batch_size,
        "latency_scale": result.latency_scale,
        **_bounds("ideal", result.ideal),
        "sequential_seconds": round(result.sequential_seconds, 4),
        **_bounds("sequential_ideal", result.sequential_ideal),
        "speed_up": round(result.speed_up, 3),
        "efficiency": round(result.efficiency, 4),
        "cpu_seconds": round(result.cpu_seconds, 3),
        "peak_megabytes": result.peak_megabytes,
        **(
            {}
            if math.isnan(result.waiting_share)
            else {"waiting_share": round(result.waiting_share, 3)}
        ),
    }


def _bounds(name: str, ideal: Ideal) -> dict[str, float]:
    return {
        f"{name}_{bound}_seconds": round(each, 4) for bound, each in attrs.asdict(ideal).items()
    }


def _ideal_of(name: str, figures: Mapping[str, float]) -> Ideal:
    bounds = (field.name for field in attrs.fields(Ideal))
    return Ideal(**{bound: figures[f"{name}_{bound}_seconds"] for bound in bounds})


def load_results(path: Path) -> list[CellResult]:
    """Read the cells of a pyperf file that `as_suite` made.

    Raises:
        UsageError: it is another file.
    """
    try:
        return [_cell_result(benchmark) for benchmark in pyperf.BenchmarkSuite.load(str(path))]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path} is no result file of benchmarks.backfill_150: {error}") from None


def _cell_result(benchmark: pyperf.Benchmark) -> CellResult:
    figures = benchmark.get_metadata()
    return CellResult(
        workload=figures["workload"],
        cell=Cell(figures["workers"], figures["batch_size"]),
        latency_scale=figures["latency_scale"],
        ideal=_ideal_of("ideal", figures),
        seconds=list(benchmark.get_values()),
        sequential_seconds=figures["sequential_seconds"],
        sequential_ideal=_ideal_of("sequential_ideal", figures),
        cpu_seconds=figures["cpu_seconds"],
        peak_megabytes=figures["peak_megabytes"],
        waiting_share=figures.get("waiting_share", math.nan),
    )


class MemoryOverTime(msgspec.Struct):
    """The resident memory of a run's client, its children included."""

    run: str
    """Which run, in words."""
    seconds: Annotated[list[float], msgspec.Meta(min_length=1)]
    """When it was looked at, since the process began."""
    megabytes: Annotated[list[float], msgspec.Meta(min_length=1)]


def load_memory(path: Path) -> MemoryOverTime:
    """Read a file of it.

    Raises:
        UsageError: it is another file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=MemoryOverTime)
    except (msgspec.DecodeError, OSError) as error:
        raise UsageError(f"{path} is no memory over time: {error}") from None
