"""Charts of what was measured, as SVG: ``python -m benchmarks.charts FOLDER``.

Drawn from the result files in a folder, each beside its file, and the same files give the same
bytes. They have a background of their own, so that they can be read on light and dark pages.

| file | chart |
|---|---|
| ``backfill_150.json`` | ``speed_up.svg``, ``efficiency.svg`` |
| ``backfill_150_parallel_parts.json`` | the same two with this ending |
| ``memory.json`` | ``memory.svg`` |
| ``ingest.json`` | ``stages.svg`` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.program import run_program
from benchmarks.results import (
    BACKFILL_150,
    MUST,
    PARALLEL_PARTS,
    CellResult,
    MemoryOverTime,
    load_memory,
    load_results,
)
from gsc_trio.cli.failures import COMPLETE
from gsc_trio.errors import UsageError

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "gsc-trio",
    "svg.fonttype": "path",  # looks the same wherever it is shown
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8c959f",
    "axes.labelcolor": "#424a53",
    "xtick.color": "#424a53",
    "ytick.color": "#424a53",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d8dee4",
    "legend.frameon": False,
    "figure.facecolor": "#ffffff",
    "figure.constrained_layout.use": True,
}
_BATCH_COLOURS = {1: "#bf8700", 10: "#1a7f37", 50: "#0969da"}
_OTHER_COLOUR = "#8250df"
_STAGE_COLOURS = ("#0969da", "#54aeff", "#1a7f37", "#bf8700", "#cf222e", "#8250df")


def speed_up_chart(results: Sequence[CellResult]) -> Figure:
    """Speed-up over the number of workers, a panel for each workload; ideals are dashed."""
    workloads = list(dict.fromkeys(result.workload for result in results))
    figure = Figure(figsize=(4.2 * len(workloads), 4.2))
    panels = figure.subplots(1, len(workloads), squeeze=False, sharey=True)[0]
    for axes, workload in zip(panels, workloads, strict=True):
        cells = [result for result in results if result.workload == workload]
        _draw_speed_ups(axes, cells)
        axes.set_title(f"{workload}, latency × {cells[0].latency_scale:g}")
        axes.set_xlabel("workers")
    panels[0].set_ylabel("times as fast as the sequential path")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels) if len(workloads) > 1 else 3
    )
    return figure


def _draw_speed_ups(axes: Axes, cells: Sequence[CellResult]) -> None:
    counts = sorted({cell.cell.workers for cell in cells})
    places = {count: place for place, count in enumerate(counts)}
    for batch_size in sorted({cell.cell.batch_size for cell in cells}):
        line = [cell for cell in cells if cell.cell.batch_size == batch_size]
        colour = _BATCH_COLOURS.get(batch_size, _OTHER_COLOUR)
        across = [places[cell.cell.workers] for cell in line]
        ideals = [cell.possible_speed_up for cell in line]
        axes.plot(across, ideals, "--", color=colour, linewidth=1.2, alpha=0.7)
        measured = [cell.speed_up for cell in line]
        axes.plot(across, measured, "o-", color=colour, label=f"batches of {batch_size}")
    axes.plot([], [], "--", color="#57606a", linewidth=1.2, label="ideal")
    axes.set_yscale("log", base=2)
    for count, must in MUST.items():
        if count in places:
            axes.plot(places[count], must, "_", color="#cf222e", markersize=18, markeredgewidth=2)
    axes.plot([], [], "_", color="#cf222e", markersize=14, markeredgewidth=2, label="must")
    axes.set_xticks(list(places.values()), [str(count) for count in counts])
    axes.set_yticks([1, 2, 4, 8, 16], ["1×", "2×", "4×", "8×", "16×"])


_BOUND_MARKS = {"latency": "", "processor": "\nCPU", "quota": "\nquota"}
"""What is written below an efficiency: what the ideal is bound by, where it is not latency."""


def efficiency_chart(results: Sequence[CellResult]) -> Figure:
    """Efficiency as a heat map: workers across, batch sizes down, a panel for each workload."""
    workloads = list(dict.fromkeys(result.workload for result in results))
    most = max(
        len({each.cell.batch_size for each in results if each.workload == name})
        for name in workloads
    )
    figure = Figure(figsize=(4.2 * len(workloads) + 0.8, 1.6 + 0.7 * most))
    panels = figure.subplots(1, len(workloads), squeeze=False)[0]
    for axes, workload in zip(panels, workloads, strict=True):
        cells = [result for result in results if result.workload == workload]
        image = _draw_efficiencies(axes, cells)
        axes.set_title(f"{workload}, latency × {cells[0].latency_scale:g}")
        axes.set_xlabel("workers")
    panels[0].set_ylabel("batch size")
    colours = figure.colorbar(image, ax=panels, shrink=0.9, pad=0.02)
    colours.ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    colours.set_label("ideal ÷ measured")
    colours.outline.set_visible(False)
    return figure


def _draw_efficiencies(axes: Axes, cells: Sequence[CellResult]) -> Any:
    counts = sorted({cell.cell.workers for cell in cells})
    sizes = sorted({cell.cell.batch_size for cell in cells})
    shares = [[float("nan")] * len(counts) for _ in sizes]
    for cell in cells:
        row, column = sizes.index(cell.cell.batch_size), counts.index(cell.cell.workers)
        shares[row][column] = cell.efficiency
        axes.text(
            column,
            row,
            f"{cell.efficiency:.0%}" + _BOUND_MARKS[cell.ideal.bound_by],
            ha="center",
            va="center",
            fontsize=9,
            color="white" if cell.efficiency > 0.6 else "#24292f",
        )
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    axes.set_xticks(range(len(counts)), [str(count) for count in counts])
    axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return image


def stages_chart(stages: Mapping[str, float]) -> Figure:
    """CPU time of a full page by stage.

    Args:
        stages: milliseconds by the stage's name, in the order of the work.
    """
    figure = Figure(figsize=(8, 2.5))
    axes = figure.subplots()
    left, total = 0.0, sum(stages.values())
    colours = (_STAGE_COLOURS * len(stages))[: len(stages)]
    for (name, milliseconds), colour in zip(stages.items(), colours, strict=True):
        axes.barh(
            0,
            milliseconds,
            left=left,
            height=0.6,
            color=colour,
            label=f"{name} {milliseconds:.1f} ms",
        )
        left += milliseconds
    axes.set_title(f"CPU of a page of 25,000 rows, socket to commit: {total:.0f} ms")
    axes.set_xlabel("milliseconds")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, total or 1)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def memory_chart(memory: MemoryOverTime) -> Figure:
    """Resident memory of the client over the time of a run."""
    figure = Figure(figsize=(8, 3.4))
    axes = figure.subplots()
    peak = max(memory.megabytes)
    axes.plot(memory.seconds, memory.megabytes, color="#0969da", linewidth=1.6)
    axes.fill_between(memory.seconds, memory.megabytes, color="#0969da", alpha=0.12)
    axes.axhline(peak, color="#cf222e", linewidth=1, linestyle="--")
    axes.annotate(
        f"peak {peak:.0f} MB",
        (0.01, peak),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4),
        textcoords="offset points",
        color="#cf222e",
    )
    axes.set_ylim(0, peak * 1.2)
    axes.set_xlim(0, max(memory.seconds))
    axes.set_title(f"Resident memory: {memory.run}")
    axes.set_xlabel("seconds")
    axes.set_ylabel("MB")
    return figure


def draw(folder: Path) -> list[Path]:
    """Draw what there are results for; returns the charts' paths.

    Raises:
        UsageError: the folder has no result files, or one that is not ours.
    """
    charts: dict[str, Callable[[], Figure]] = {}
    for ending in ("", PARALLEL_PARTS):
        path = folder / f"{BACKFILL_150}{ending}.json"
        if path.exists():
            results = load_results(path)
            charts[f"speed_up{ending}"] = partial(speed_up_chart, results)
            charts[f"efficiency{ending}"] = partial(efficiency_chart, results)
    if (folder / "memory.json").exists():
        charts["memory"] = partial(memory_chart, load_memory(folder / "memory.json"))
    if (folder / "ingest.json").exists():
        charts["stages"] = partial(stages_chart, _load_stages(folder / "ingest.json"))
    if not charts:
        raise UsageError(f"{folder} has no result files: measure something first")
    paths = []
    with mpl.rc_context(_STYLE):
        for name, chart in charts.items():
            paths.append(folder / f"{name}.svg")
            chart().savefig(paths[-1], metadata={"Date": None})
    return paths


class _Ingest(msgspec.Struct):
    stages: dict[str, float]


def _load_stages(path: Path) -> dict[str, float]:
    """The stages in a result file of ``benchmarks.ingest``.

    Raises:
        UsageError: it is no such file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Ingest).stages
    except (msgspec.DecodeError, OSError) as error:
        raise UsageError(f"{path} has no stages: {error}") from None


@click.command("python -m benchmarks.charts", help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> int:
    """Draw."""
    for path in draw(folder):
        click.echo(path)
    return COMPLETE


if __name__ == "__main__":
    run_program(main)
