"""Full pages from the socket to the committed row, as fast as it goes: no latency.

A server in a process of its own (a cassette's pages, compressed ahead of time) answers at once;
the client takes them through gunzip, decoding and the hand-over into a SQLite file with
``synchronous=FULL``. The figures: rows a second from the plan to the last commit, how late the
event loop was, the most resident memory, and what a full page costs by stage. Every database is
held against what the cassette holds.

By default twice: the default settings (3 workers, batches of 50) and ten workers. Google's quota
is 1,200 queries a minute: 500,000 rows a second if every one of them were a full page.

Exits with 1 if a figure is not what it must be.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import attrs
import click
import trio

from benchmarks.latency_model import LatencyModel
from benchmarks.machine import describe_machine
from benchmarks.matrix import DEFAULT_BATCH_SIZE, DEFAULT_WORKERS
from benchmarks.measurement import Measurement, measure
from benchmarks.overhead import finish, print_table, write_json
from benchmarks.session import UNLIMITED, fake_options
from benchmarks.stages import StageCosts, measure_stages
from benchmarks.workload import Property, Workload, make_workload
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.testing import read_cassette

MUST_ROWS_PER_SECOND, AIM_ROWS_PER_SECOND = 300_000, 500_000
MUST_LAG_SECONDS, AIM_LAG_SECONDS = 0.050, 0.010
MUST_MEGABYTES, AIM_MEGABYTES = 300, 150

FULL_PAGE_ROWS = 25_000
PAGES_FOR_STAGES = 10


@attrs.frozen
class IngestResult:
    """The figures of one setting."""

    workers: int
    batch_size: int
    rows_per_second: float
    """The median of the runs."""
    lag_p50_milliseconds: float
    """Of all looks in all runs."""
    lag_p99_milliseconds: float
    peak_megabytes: float
    """The most of any run."""
    cpu_milliseconds_per_page: float
    waiting_share: float
    """In what share of the time something on the machine waited for a core."""


async def measure_ingest(
    workload: Workload, workers: int, batch_size: int, rounds: int
) -> IngestResult:
    """Measure one setting."""
    model = LatencyModel(scale=0)
    runs: list[Measurement] = []
    async with open_fake_process(fake_options(workload, model)) as api_root:
        for number in range(rounds + 1):
            run = await measure(
                workload,
                api_root,
                max_concurrency=workers,
                batch_size=batch_size,
                queries_per_minute=UNLIMITED,
                watches_event_loop=True,
            )
            if number:  # the first one warms the server and the disk's cache
                runs.append(run)
    lags = sorted(lag for run in runs for lag in run.lag_seconds)
    pages = sum(rows == FULL_PAGE_ROWS for day in workload.days for rows in day)
    return IngestResult(
        workers=workers,
        batch_size=batch_size,
        rows_per_second=workload.rows / statistics.median(run.seconds for run in runs),
        lag_p50_milliseconds=lags[len(lags) // 2] * 1e3,
        lag_p99_milliseconds=lags[len(lags) * 99 // 100] * 1e3,
        peak_megabytes=max(run.peak_megabytes for run in runs),
        cpu_milliseconds_per_page=min(run.cpu_seconds for run in runs) / pages * 1e3,
        waiting_share=statistics.median(run.waiting_share for run in runs),
    )


def faults_of(result: IngestResult) -> list[str]:
    """What is not as it must be."""
    name = f"{result.workers} workers, batches of {result.batch_size}"
    faults = []
    if result.rows_per_second < MUST_ROWS_PER_SECOND:
        faults.append(f"{name}: {result.rows_per_second:,.0f} rows/s < {MUST_ROWS_PER_SECOND:,}")
    if result.lag_p99_milliseconds >= MUST_LAG_SECONDS * 1e3:
        faults.append(f"{name}: the event loop is {result.lag_p99_milliseconds:.0f} ms late")
    if result.peak_megabytes >= MUST_MEGABYTES:
        faults.append(f"{name}: {result.peak_megabytes:.0f} MB ≥ {MUST_MEGABYTES} MB")
    return faults


def _stages_of(workload: Workload, folder: Path, milliseconds_per_page: float) -> StageCosts:
    answers = [
        answer
        for answer in read_cassette(workload.path).answers.values()
        if answer.rows == FULL_PAGE_ROWS
    ]
    answers = (answers * PAGES_FOR_STAGES)[:PAGES_FOR_STAGES]
    return measure_stages(answers, workload.query, folder, milliseconds_per_page)


@click.command("python -m benchmarks.ingest", help=f"\b\n{__doc__}")
@click.option("--days", type=click.IntRange(1, 1_000), default=60, show_default=True)
@click.option("--pages-per-day", type=click.IntRange(1, 2), default=2, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(2, 100),
    multiple=True,
    metavar="N",
    default=(DEFAULT_WORKERS, 10),
    show_default=True,
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1_000),
    default=DEFAULT_BATCH_SIZE,
    show_default=True,
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--json",
    "result_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures; benchmarks.charts reads them.",
)
def main(
    *,
    days: int,
    pages_per_day: int,
    workers: tuple[int, ...],
    batch_size: int,
    rounds: int,
    result_file: Path | None,
) -> None:
    """Measure, and judge."""
    machine = describe_machine()
    click.echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    simulated = Property("full", pages_per_day * FULL_PAGE_ROWS, distinct_days=5)
    with tempfile.TemporaryDirectory(prefix="gsc-trio-ingest-") as folder:
        workload = make_workload(simulated, Path(folder), days)
        click.echo(f"{workload}\n{workload.label}\n")
        results = [
            trio.run(measure_ingest, workload, count, batch_size, rounds) for count in workers
        ]
        stages = _stages_of(workload, Path(folder), results[0].cpu_milliseconds_per_page)
    print_table(
        ["workers", "batch", "rows/s", "lag p50 ms", "p99 ms", "peak MB", "CPU ms/page", "busy"],
        [
            (
                result.workers,
                result.batch_size,
                round(result.rows_per_second),
                result.lag_p50_milliseconds,
                result.lag_p99_milliseconds,
                round(result.peak_megabytes),
                result.cpu_milliseconds_per_page,
                f"{result.waiting_share:.0%}",
            )
            for result in results
        ],
    )
    click.echo(
        f"  must: {MUST_ROWS_PER_SECOND:,} rows/s, p99 < {MUST_LAG_SECONDS * 1e3:g} ms, "
        f"< {MUST_MEGABYTES} MB; aim: {AIM_ROWS_PER_SECOND:,}, {AIM_LAG_SECONDS * 1e3:g}, "
        f"{AIM_MEGABYTES}\n\nCPU of a full page by stage, in ms"
    )
    costs = {name.replace("_", "-"): cost for name, cost in attrs.asdict(stages).items()}
    print_table(["stage", "ms"], [*costs.items(), ("all", stages.total)])
    if result_file is not None:
        figures = {
            "workload": f"{workload} ({workload.label})",
            "stages": {name: round(cost, 2) for name, cost in costs.items()},
            "results": [attrs.asdict(result) for result in results],
        }
        write_json(result_file, figures)
    finish([fault for result in results for fault in faults_of(result)])


if __name__ == "__main__":
    main()
