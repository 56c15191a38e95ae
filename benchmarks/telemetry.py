"""What telemetry costs: a backfill that is watched by everything, against one by nothing.

Each round fetches the same workload three times over a real socket into a real SQLite file, each
time in a fresh process: with telemetry stubbed out, off, and on (see ``benchmarks/watched.py``).
``wall`` is by how much longer a run took than the stubbed one of its round: the median of all
rounds. On a shared machine that is noise of a few per cent either way, so what counts is ``CPU``:
how much more processor time the client took, as a share of the stubbed run's wall time, by the
medians. That is the most by which a program with one event loop can become slower.

The workloads are those of ``benchmarks.backfill_150`` with its latency, and once without any,
which is the worst case: nothing but work.

Exits with 1 if on costs 2 % or more of a benchmark's wall time, or off 0.5 % or more.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path

import attrs
import click
import msgspec
import trio

from benchmarks.latency_model import LatencyModel
from benchmarks.machine import describe_machine
from benchmarks.matrix import DEFAULT_BATCH_SIZE, DEFAULT_WORKERS
from benchmarks.measurement import Measurement, measure
from benchmarks.overhead import finish, print_table
from benchmarks.session import UNLIMITED, fake_options
from benchmarks.watched import MODES
from benchmarks.workload import DAYS, PROPERTIES, Workload, make_workload
from gsc_trio.cli.fake_process import open_fake_process

MUST = {"on": 0.02, "off": 0.005}
"""What a mode may cost, as a share of the stubbed run's wall time."""

LATENCY_SCALE = 0.2


@attrs.frozen
class Overhead:
    """What a mode costs in a workload."""

    workload: str
    latency_scale: float
    mode: str
    wall_share: float
    """By how much longer runs took; the median of all rounds."""
    cpu_share: float
    """How much more processor time they took, as a share of the stubbed run's wall time."""
    stubbed_seconds: float
    """The median of the stubbed runs."""


def overheads_of(
    name: str, latency_scale: float, rounds: list[dict[str, Measurement]]
) -> list[Overhead]:
    """What each mode costs, from rounds of one run in each mode."""
    stubbed_seconds = statistics.median(runs["stubbed"].seconds for runs in rounds)
    cpu = {mode: statistics.median(runs[mode].cpu_seconds for runs in rounds) for mode in MODES}
    return [
        Overhead(
            workload=name,
            latency_scale=latency_scale,
            mode=mode,
            wall_share=statistics.median(
                runs[mode].seconds / runs["stubbed"].seconds - 1 for runs in rounds
            ),
            cpu_share=(cpu[mode] - cpu["stubbed"]) / stubbed_seconds,
            stubbed_seconds=stubbed_seconds,
        )
        for mode in MUST
    ]


async def measure_overheads(workload: Workload, latency_scale: float, count: int) -> list[Overhead]:
    """Measure a workload in every mode, in turn."""
    rounds: list[dict[str, Measurement]] = []
    model = LatencyModel(scale=latency_scale)
    async with open_fake_process(fake_options(workload, model)) as api_root:
        run = partial(
            measure,
            workload,
            api_root,
            max_concurrency=DEFAULT_WORKERS,
            batch_size=DEFAULT_BATCH_SIZE,
            queries_per_minute=UNLIMITED,
        )
        await run(telemetry="on")  # it warms the server and the disk's cache
        for number in range(count):
            # Each mode comes first, second and last, so that none profits from its place.
            modes = [MODES[(number + place) % len(MODES)] for place in range(len(MODES))]
            rounds.append({mode: await run(telemetry=mode) for mode in modes})
    return overheads_of(workload.name, latency_scale, rounds)


def faults_of(overheads: list[Overhead]) -> list[str]:
    """What is not as it must be, where there is latency as in real life."""
    return [
        f"{each.workload}: telemetry {each.mode} costs {each.cpu_share:.2%} ≥ {MUST[each.mode]:.1%}"
        for each in overheads
        if each.latency_scale and each.cpu_share >= MUST[each.mode]
    ]


@click.command("python -m benchmarks.telemetry", help=f"\b\n{__doc__}")
@click.option(
    "--property",
    "names",
    multiple=True,
    type=click.Choice(list(PROPERTIES)),
    default=("small", "middle"),
    show_default=True,
)
@click.option("--days", type=click.IntRange(1, 1_000), default=DAYS, show_default=True)
@click.option(
    "--latency-scale",
    "latency_scales",
    multiple=True,
    type=click.FloatRange(0, 100),
    default=(LATENCY_SCALE, 0.0),
    show_default=True,
)
@click.option("--rounds", type=click.IntRange(1, 100), default=7, show_default=True)
@click.option(
    "--json",
    "result_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures.",
)
def main(
    *,
    names: tuple[str, ...],
    days: int,
    latency_scales: tuple[float, ...],
    rounds: int,
    result_file: Path | None,
) -> None:
    """Measure, and judge."""
    machine = describe_machine()
    click.echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    overheads: list[Overhead] = []
    with tempfile.TemporaryDirectory(prefix="gsc-trio-telemetry-") as folder:
        for name in names:
            workload = make_workload(PROPERTIES[name], Path(folder), days)
            click.echo(f"{workload}\n  {workload.label}")
            for latency_scale in latency_scales:
                overheads += trio.run(measure_overheads, workload, latency_scale, rounds)
    print_table(
        ["property", "latency ×", "stubbed s", "telemetry", "wall", "CPU", "must"],
        [
            (
                each.workload,
                f"{each.latency_scale:g}",
                f"{each.stubbed_seconds:.2f}",
                each.mode,
                f"{each.wall_share:+.2%}",
                f"{each.cpu_share:+.2%}",
                f"< {MUST[each.mode]:.1%}" if each.latency_scale else "–",
            )
            for each in overheads
        ],
    )
    if result_file is not None:
        figures = {"machine": machine, "overheads": [attrs.asdict(each) for each in overheads]}
        result_file.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    finish(faults_of(overheads))


if __name__ == "__main__":
    main()
