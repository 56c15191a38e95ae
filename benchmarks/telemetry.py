"""What telemetry costs: a backfill that is watched by everything, against one by nothing.

Two measures, since on a shared machine the first one is noise of a per cent or two either way:

- ``wall``: each round fetches a workload of ``benchmarks.backfill_150`` three times over a real
  socket into a real SQLite file, each time in a fresh process: with telemetry stubbed out, off,
  and on (see ``benchmarks/watched.py``). The figure is by how much longer a run took than the
  stubbed one of its round, as the median of all rounds, with the lowest and the highest.
- ``work``: the events of such a run are made and handled once more, and the processor time that
  this takes beyond the stubbed way is put in relation to the run's wall time. That is what a
  program with one event loop becomes slower by, if all of that work makes it wait.

Latency is scaled, so runs are short, and telemetry weighs more than it would beside Google's.
Exits with 1 if ``work`` is 2 % or more with telemetry on, or 0.5 % or more with it off, or if
``wall`` is so in every single round.
"""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import attrs
import click
import trio

from benchmarks.latency_model import LatencyModel
from benchmarks.machine import describe_machine
from benchmarks.matrix import DEFAULT_BATCH_SIZE, DEFAULT_WORKERS
from benchmarks.measurement import Measurement, measure
from benchmarks.overhead import Stopwatch, finish, print_table, write_json
from benchmarks.session import UNLIMITED, fake_options
from benchmarks.watched import COUNTED, MODES, watched
from benchmarks.workload import DAYS, PROPERTIES, Workload, make_workload
from gsc_trio import Page, Settings, fetch_all, open_search_console
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.dates import FINAL_LAG_DAYS
from gsc_trio.summary import RunMeter
from gsc_trio.telemetry.events import Event, MemoryMeasured
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.telemetry.memory import resident_bytes

MUST = {"on": 0.02, "off": 0.005}
"""What a mode may cost, as a share of the stubbed run's wall time."""

LATENCY_SCALE = 0.2

REPLAYS = 15


@attrs.frozen
class Overhead:
    """What a mode costs in a workload."""

    workload: str
    mode: str
    stubbed_seconds: float
    """The median of the stubbed runs."""
    wall_shares: list[float]
    """By how much longer the run of each round took; in rising order."""
    work_seconds: float
    """Processor time of a run's telemetry."""

    @property
    def wall_share(self) -> float:
        """The median."""
        return statistics.median(self.wall_shares)

    @property
    def work_share(self) -> float:
        """The work as a share of the run's wall time."""
        return self.work_seconds / self.stubbed_seconds


@attrs.frozen
class _EventRecorder:
    """An instrument that keeps how events are made again: their classes and values."""

    recipes: list[tuple[Callable[..., Event], tuple[object, ...]]] = attrs.field(factory=list)

    def handle(self, event: Event) -> None:
        """Keep an event, but not the rows of its page."""
        values = attrs.astuple(event, recurse=False)
        values = tuple(
            attrs.evolve(value, rows=[]) if isinstance(value, Page) else value for value in values
        )
        self.recipes.append((type(event), values))


async def record_events(workload: Workload, api_root: str) -> _EventRecorder:
    """Fetch a workload with default settings, and keep the events of the run."""
    settings = Settings(api_root=api_root, queries_per_minute=UNLIMITED)
    recorder = _EventRecorder()
    async with open_search_console(settings, instruments=[recorder]) as client:
        await fetch_all(
            client,
            workload.query,
            start=workload.start,
            end=workload.end,
            today=workload.end + dt.timedelta(days=FINAL_LAG_DAYS),
            instruments=[recorder],
        )
    return recorder


async def work_seconds(recorder: _EventRecorder, mode: str) -> float:
    """The processor time that making and handling a run's events takes, at the median."""
    costs = []
    is_stubbed = mode == "stubbed"
    recipes = [each for each in recorder.recipes if each[0] in COUNTED or not is_stubbed]
    for _ in range(REPLAYS):
        # What is stubbed out in a process of its own is left out here.
        with ExitStack() as stack:
            watching = [] if is_stubbed else stack.enter_context(watched(mode, Settings()))
            instruments = Instruments([RunMeter(), *watching])
            with Stopwatch() as stopwatch:
                for kind, values in recipes:
                    if kind is MemoryMeasured:
                        resident_bytes()
                    instruments.handle(kind(*values))
        costs.append(stopwatch.seconds)
    return statistics.median(costs)


async def measure_rounds(
    workload: Workload, api_root: str, count: int
) -> list[dict[str, Measurement]]:
    """Run a workload in every mode, in turn, so many times."""
    rounds: list[dict[str, Measurement]] = []
    run = partial(
        measure,
        workload,
        api_root,
        max_concurrency=DEFAULT_WORKERS,
        batch_size=DEFAULT_BATCH_SIZE,
        queries_per_minute=UNLIMITED,
    )
    for number in range(count):
        # Each mode comes first, second and last, so that none profits from its place.
        modes = [MODES[(number + place) % len(MODES)] for place in range(len(MODES))]
        rounds.append({mode: await run(telemetry=mode) for mode in modes})
    return rounds


def overheads_of(
    name: str, rounds: list[dict[str, Measurement]], work: dict[str, float]
) -> list[Overhead]:
    """What each mode costs, from rounds of one run in each mode and the work of each mode."""
    stubbed_seconds = statistics.median(runs["stubbed"].seconds for runs in rounds)
    return [
        Overhead(
            workload=name,
            mode=mode,
            stubbed_seconds=stubbed_seconds,
            wall_shares=sorted(runs[mode].seconds / runs["stubbed"].seconds - 1 for runs in rounds),
            work_seconds=work[mode] - work["stubbed"],
        )
        for mode in MUST
    ]


async def measure_overheads(workload: Workload, latency_scale: float, count: int) -> list[Overhead]:
    """Measure a workload."""
    model = LatencyModel(scale=latency_scale)
    async with open_fake_process(fake_options(workload, model)) as api_root:
        recorder = await record_events(workload, api_root)  # which warms the server, too
        work = {mode: await work_seconds(recorder, mode) for mode in MODES}
        rounds = await measure_rounds(workload, api_root, count)
    return overheads_of(workload.name, rounds, work)


def faults_of(overheads: list[Overhead]) -> list[str]:
    """What is not as it must be."""
    faults = []
    for each in overheads:
        must = MUST[each.mode]
        if each.work_share >= must:
            share = f"work of {each.work_share:.2%}"
        elif each.wall_shares[0] >= must:
            share = f"wall time of {each.wall_shares[0]:.2%} and more"
        else:
            continue
        faults.append(f"{each.workload}: telemetry {each.mode} costs {share} ≥ {must:.1%}")
    return faults


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
    type=click.FloatRange(0, 100),
    default=LATENCY_SCALE,
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
    latency_scale: float,
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
            overheads += trio.run(measure_overheads, workload, latency_scale, rounds)
    click.echo(f"latency scale {latency_scale:g}")
    print_table(
        ["property", "stubbed s", "telemetry", "work ms", "work", "must", "wall", "from", "to"],
        [
            (
                each.workload,
                f"{each.stubbed_seconds:.2f}",
                each.mode,
                each.work_seconds * 1e3,
                f"{each.work_share:.3%}",
                f"< {MUST[each.mode]:.1%}",
                f"{each.wall_share:+.2%}",
                f"{each.wall_shares[0]:+.2%}",
                f"{each.wall_shares[-1]:+.2%}",
            )
            for each in overheads
        ],
    )
    if result_file is not None:
        figures = {
            "latency_scale": latency_scale,
            "overheads": [attrs.asdict(each) for each in overheads],
        }
        write_json(result_file, figures)
    finish(faults_of(overheads))


if __name__ == "__main__":
    main()
