"""Measuring the cells of a plan, each against its ideal, all databases against each other."""

from __future__ import annotations

from statistics import median

import attrs
import click

from benchmarks.ideal import latency_bound
from benchmarks.latency_model import LatencyModel
from benchmarks.machine import usable_cores
from benchmarks.matrix import (
    CHEAP_ROUNDS,
    CHEAP_SECONDS,
    DEFAULT_BATCH_SIZE,
    DEFAULT_WORKERS,
    Cell,
    Selection,
)
from benchmarks.measurement import Measurement, MemorySample, WrongAnswerError, measure
from benchmarks.report import HEAD, table_line
from benchmarks.results import CellResult
from benchmarks.workload import Workload
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.cli.fake_server import FakeServerOptions
from gsc_trio.rollout.ideal import Ideal, quota_bound

UNLIMITED = 1_000_000
"""The fake's quota: runs follow each other more quickly than a minute; the client has its own."""


@attrs.frozen
class Plan:
    """What to measure, and how.

    Args:
        selections: what of each workload.
        model: the latency model; the scale is each selection's.
        queries_per_minute: the client's limit.
        rounds: how often each cell is measured, or None for as often as is cheap.
    """

    selections: list[tuple[Workload, Selection]]
    model: LatencyModel
    queries_per_minute: int
    rounds: int | None


@attrs.frozen
class Outcome:
    """What came out of a workload."""

    results: list[CellResult]
    memory: dict[Cell, list[MemorySample]]
    """Of each cell's run that needed the most."""


async def measure_workload(workload: Workload, selection: Selection, plan: Plan) -> Outcome:
    """Measure the selected cells of a workload, and print each as it is done."""
    model = attrs.evolve(plan.model, scale=selection.latency_scale)
    click.echo(f"\n{workload}\n  {workload.label}\n  {model}\n\n{HEAD}")
    check = _SameContent(workload.name)
    floor = await _processor_floor(workload, plan, check)
    results: list[CellResult] = []
    memory: dict[Cell, list[MemorySample]] = {}
    async with open_fake_process(fake_options(workload, model)) as api_root:
        for cell in selection.cells():
            ideal = Ideal(
                latency=latency_bound(workload.days, model, cell.workers, cell.batch_size),
                quota=quota_bound(workload.calls, plan.queries_per_minute),
                processor=floor,
            )
            runs = [
                check(await _measure(workload, cell, api_root, plan))
                for _ in range(_rounds(plan, ideal))
            ]
            hungriest = max(runs, key=lambda run: run.peak_megabytes)
            seconds = [run.seconds for run in runs]
            if cell.is_sequential:
                baseline, baseline_ideal = median(seconds), ideal
            result = CellResult(
                workload=workload.name,
                cell=cell,
                latency_scale=selection.latency_scale,
                ideal=ideal,
                seconds=seconds,
                sequential_seconds=baseline,
                sequential_ideal=baseline_ideal,
                cpu_seconds=min(run.cpu_seconds for run in runs),
                peak_megabytes=hungriest.peak_megabytes,
                waiting_share=median(run.waiting_share for run in runs),
            )
            results.append(result)
            memory[cell] = hungriest.memory
            click.echo(table_line(result))
    click.echo("all databases are identical")
    return Outcome(results, memory)


async def _processor_floor(workload: Workload, plan: Plan, check: _SameContent) -> float:
    """The CPU seconds of a run without latency ÷ cores; it also warms all caches."""
    model = attrs.evolve(plan.model, scale=0)
    cell = Cell(DEFAULT_WORKERS, DEFAULT_BATCH_SIZE)
    async with open_fake_process(fake_options(workload, model)) as api_root:
        run = check(await _measure(workload, cell, api_root, plan))
    return run.cpu_seconds / usable_cores()


async def _measure(workload: Workload, cell: Cell, api_root: str, plan: Plan) -> Measurement:
    return await measure(
        workload,
        api_root,
        max_concurrency=cell.workers,
        batch_size=cell.batch_size,
        queries_per_minute=plan.queries_per_minute,
    )


def _rounds(plan: Plan, ideal: Ideal) -> int:
    if plan.rounds is not None:
        return plan.rounds
    return CHEAP_ROUNDS if ideal.seconds < CHEAP_SECONDS else 1


def fake_options(workload: Workload, model: LatencyModel) -> FakeServerOptions:
    """A fake server that replays a workload's cassette."""
    return FakeServerOptions(
        host="127.0.0.1",
        port=0,
        site=workload.query.site_url,
        rows_per_day=0,
        rows_on_the_first=0,
        latency_scale=model.scale,
        queries_per_minute=UNLIMITED,
        seed=0,
        latency_jitter=0,
        seconds_per_call=model.seconds_per_call,
        seconds_per_row=model.seconds_per_row,
        parallel_parts=model.parallel_parts,
        cassette=workload.path,
    )


@attrs.define
class _SameContent:
    """Holds each run's database against the first."""

    workload: str
    _digest: str | None = attrs.field(default=None, init=False)

    def __call__(self, run: Measurement) -> Measurement:
        """Give the run back if its database holds what the first one did.

        Raises:
            WrongAnswerError: it holds something else.
        """
        if self._digest not in {None, run.content.digest}:
            raise WrongAnswerError(
                f"{self.workload}: the databases of two runs differ: a fast wrong answer is a "
                "failure"
            )
        self._digest = run.content.digest
        return run


async def measure_all(plan: Plan) -> list[Outcome]:
    """Measure every workload of a plan."""
    return [
        await measure_workload(workload, selection, plan) for workload, selection in plan.selections
    ]
