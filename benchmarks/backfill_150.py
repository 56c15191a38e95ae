"""150 days over a real socket into a real SQLite file: the concurrent path against the sequential.

A cassette is replayed by a fake Search Console in a process of its own, at simulated latency. The
client is a process of its own, too, a fresh one for each run; its commits (``synchronous=FULL``)
and the closing of the database are part of the time. In each cell of the matrix (workers × batch
size × property) the speed-up is the sequential path's median ÷ the cell's, with the same batch
size, in the same session; the ideal (see ``benchmarks/ideal.py``) says how much was possible, and
the efficiency is the ideal ÷ what was measured. All databases of a property must hold the same,
and as many rows as the cassette: a fast wrong answer is a failure.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import pyperf
import trio

from benchmarks.latency_model import LatencyModel
from benchmarks.machine import Machine, describe_machine
from benchmarks.matrix import FAST, OWN_CASSETTE, RIGOROUS, Cell, Selection, selected
from benchmarks.program import run_program
from benchmarks.report import judge
from benchmarks.results import BACKFILL_150, MUST, PARALLEL_PARTS, MemoryOverTime, as_suite
from benchmarks.session import Outcome, Plan, measure_all
from benchmarks.workload import PROPERTIES, Workload, make_workload, read_workload
from gsc_trio.cli.failures import COMPLETE, FAILED
from gsc_trio.errors import UsageError
from gsc_trio.testing.latency import SECONDS_PER_CALL, SECONDS_PER_ROW


def selections_of(
    folder: Path,
    cassette: Path | None,
    names: Sequence[str],
    *,
    is_rigorous: bool,
) -> list[tuple[Workload, Selection]]:
    """The workloads, made in a folder or read from the user's cassette, with what is measured."""
    if cassette is not None:
        return [(read_workload(cassette), OWN_CASSETTE[is_rigorous])]
    whole = RIGOROUS if is_rigorous else FAST
    return [
        (make_workload(PROPERTIES[name], folder), whole.get(name, RIGOROUS[name]))
        for name in names or whole
    ]


def write_results(plan: Plan, outcomes: Sequence[Outcome], machine: Machine, folder: Path) -> None:
    """Write everything that is worth keeping into a folder.

    Raises:
        UsageError: it cannot be written.
    """
    ending = PARALLEL_PARTS if plan.model.parallel_parts else ""
    _dump(folder / f"{BACKFILL_150}{ending}.json", _suite(plan, outcomes, machine))
    _write(folder / "machine.json", msgspec.json.format(msgspec.json.encode(machine), indent=2))
    if not plan.model.parallel_parts:
        _write(folder / "memory.json", msgspec.json.encode(_memory_over_time(outcomes[-1])))


def _suite(plan: Plan, outcomes: Sequence[Outcome], machine: Machine) -> pyperf.BenchmarkSuite:
    notes = {"latency_model": str(plan.model)}
    for workload, _ in plan.selections:
        notes[f"cassette_{workload.name}"] = workload.label
    results = [result for outcome in outcomes for result in outcome.results]
    return as_suite(results, machine, notes)


def _memory_over_time(outcome: Outcome) -> MemoryOverTime:
    """That of ten workers with batches of 50, or of whatever needed the most."""
    by_peak = sorted(outcome.results, key=lambda result: result.peak_megabytes)
    wanted = [result for result in by_peak if result.cell == Cell(10, 50)]
    result = [*by_peak, *wanted][-1]
    samples = outcome.memory[result.cell]
    return MemoryOverTime(
        run=f"{result.name}, latency × {result.latency_scale:g}",
        seconds=[sample.seconds for sample in samples],
        megabytes=[sample.megabytes for sample in samples],
    )


def _dump(path: Path, suite: pyperf.BenchmarkSuite) -> None:
    try:
        suite.dump(str(path), replace=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


@click.command(
    "python -m benchmarks.backfill_150",
    help=f"""{__doc__}
Exits with 1 if anything is wrong, or if 5 workers are less than {MUST[5]:g} times as fast in a
cell whose ideal allows it.
""",
    context_settings={"max_content_width": 100},
)
@click.option(
    "--fast/--rigorous",
    "is_fast",
    default=True,
    show_default=True,
    help="A few cells in under two minutes, or the whole matrix in about an hour.",
)
@click.option(
    "--property",
    "names",
    multiple=True,
    type=click.Choice(list(PROPERTIES)),
    help="Only these properties; may be given more than once.",
)
@click.option(
    "--workers",
    multiple=True,
    type=click.IntRange(1, 100),
    metavar="N",
    help="Only so many workers; may be given more than once.",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    multiple=True,
    type=click.IntRange(1, 1_000),
    metavar="N",
    help="Only this batch size; may be given more than once.",
)
@click.option(
    "--cassette",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Replay a cassette of your own instead of the simulated properties.",
)
@click.option(
    "--latency-scale",
    type=click.FloatRange(0, 100),
    metavar="X",
    help="Multiply latency by this; 1 is the default of --rigorous, and as slow as Google.",
)
@click.option(
    "--seconds-per-call",
    type=click.FloatRange(0, 3_600),
    default=SECONDS_PER_CALL,
    show_default=True,
    metavar="SECONDS",
    help="The latency of a query, before the scale.",
)
@click.option(
    "--seconds-per-row",
    type=click.FloatRange(0, 1),
    default=SECONDS_PER_ROW,
    show_default=True,
    metavar="SECONDS",
    help="What each row of its answer adds.",
)
@click.option(
    "--parallel-parts",
    is_flag=True,
    help="The second model: the parts of a batch are worked on in parallel.",
)
@click.option(
    "--queries-per-minute",
    type=click.IntRange(1, 1_000_000),
    default=1_200,
    show_default=True,
    metavar="N",
    help="The client's quota.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Measure each cell so often. By default 3 times what is short, once what is long.",
)
@click.option(
    "--json",
    "result_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a result file that pyperf reads.",
)
@click.option(
    "--results",
    "result_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write it into a folder beside machine.json and memory.json, for benchmarks.charts.",
)
def main(
    *,
    is_fast: bool,
    names: tuple[str, ...],
    workers: tuple[int, ...],
    batch_sizes: tuple[int, ...],
    cassette: Path | None,
    latency_scale: float | None,
    seconds_per_call: float,
    seconds_per_row: float,
    parallel_parts: bool,
    queries_per_minute: int,
    rounds: int | None,
    result_file: Path | None,
    result_folder: Path | None,
) -> int:
    """Measure, and judge."""
    for folder_of_results in (result_folder, result_file and result_file.parent):
        if folder_of_results is not None and not folder_of_results.is_dir():
            raise UsageError(
                f"there is no folder {folder_of_results} for the results: make it first"
            )
    machine = describe_machine()
    click.echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    with tempfile.TemporaryDirectory(prefix="gsc-trio-cassettes-") as folder:
        plan = Plan(
            selections=[
                (workload, selected(selection, batch_sizes, workers, latency_scale))
                for workload, selection in selections_of(
                    Path(folder), cassette, names, is_rigorous=not is_fast
                )
            ],
            model=LatencyModel(seconds_per_call, seconds_per_row, parallel_parts=parallel_parts),
            queries_per_minute=queries_per_minute,
            rounds=rounds,
        )
        outcomes = trio.run(measure_all, plan)
    if result_file is not None:
        _dump(result_file, _suite(plan, outcomes, machine))
    if result_folder is not None:
        write_results(plan, outcomes, machine, result_folder)
    verdict = judge([result for outcome in outcomes for result in outcome.results])
    click.echo(f"\n{verdict.text}")
    return COMPLETE if verdict.is_good else FAILED


if __name__ == "__main__":
    run_program(main)
