"""What a job costs on its way through a run, without a network and without a database.

The real workers take batches from the real coordinator, with permits of the real rate limiter, and
bring back pages that cost nothing, which the coordinator hands over in order to a sink that keeps
nothing. What is left is the overhead of each job: queue, registry, page buffer, hand-over, worker,
limiter, and trio's scheduling of all that. The coordinator alone, with plain loops for workers, is
measured beside it.

From 1,000 to 1,000,000 jobs and from 1 to 100 workers the cost must be flat, and below 100 µs.
Exits with 1 if it is not. ``--profile`` says which modules take the time.
"""

from __future__ import annotations

import cProfile
import datetime as dt
import pstats
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, product
from pathlib import Path
from typing import cast

import attrs
import click
import trio

from benchmarks.overhead import (
    AIM_MICROSECONDS,
    FLAT_RATIO,
    MUST_MICROSECONDS,
    Cost,
    Stopwatch,
    finish,
    growth,
    print_table,
    sizes_up_to,
    write_json,
)
from gsc_trio.batch import Backpressure, Batch
from gsc_trio.client import Admit, Failure
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.coordinator import Coordinator, open_coordinator
from gsc_trio.fetcher import Fetcher
from gsc_trio.model import Halt, InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.retry import RetryPolicy
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.worker import WorkerPool

SITE = "sc-domain:benchmark.example"
USER = "benchmark"
BATCH_SIZES = (1, 50)
WORKERS = (1, 2, 10, 100)
ALONE, WITH_WORKERS = "coordinator alone", "workers, limiter, coordinator"
CONTENT_BYTES = 100
ROWS = [Row(keys=("https://benchmark.example/", "query"), clicks=1, impressions=2, position=3.0)]


class NoSink:
    """Takes pages and keeps nothing, but counts them."""

    pages = 0
    takes_several = True

    async def prepare(self, page: Page) -> Page:
        """There is nothing to do."""
        return page

    async def deliver(self, pages: Sequence[Page], changes: InFlightChanges) -> Halt | None:
        """Count them, and let others run, as a commit does."""
        self.pages += len(pages)
        await trio.lowlevel.checkpoint()
        return None

    async def record_in_flight(self, changes: InFlightChanges) -> None:
        """Let others run, as a commit does."""
        await trio.lowlevel.checkpoint()


def answer(job: Job) -> Page:
    """A page with one row."""
    return Page(job, ROWS, row_limit=25_000, content_bytes=CONTENT_BYTES)


@attrs.frozen
class Echo:
    """In the place of client and fetcher: answers every query at once."""

    limiter: RateLimiter
    query: SearchAnalyticsQuery
    user: str

    @property
    def client(self) -> Echo:
        """Where workers find the limiter and the user."""
        return self

    async def fetch(
        self,
        jobs: Sequence[Job],
        grant: Grant,
        receive: Callable[[Page], Awaitable[None]],
        *,
        admit: Admit,
    ) -> list[Failure]:
        """Answer jobs one by one."""
        grant.mark_sent(len(jobs))
        for job in jobs:
            grant.settle()
            async with admit(job, CONTENT_BYTES):
                page = answer(job)
            await receive(page)
        return []


@attrs.frozen
class Scenario:
    """Who works."""

    parts: str
    """`ALONE` or `WITH_WORKERS`."""
    workers: int
    batch_size: int

    async def seconds(self, jobs: int) -> float:
        """Processor time for a number of jobs, from the plan to the last delivery."""
        plan = [Job(dt.date.fromordinal(number + 1)) for number in range(jobs)]
        settings = Settings(max_concurrency=self.workers, batch_size=self.batch_size)
        sink = NoSink()
        with Stopwatch() as stopwatch:
            async with open_coordinator(plan, sink, settings=settings) as coordinator:
                if self.parts == ALONE:
                    await self._work_alone(coordinator)
                else:
                    await self._pool(coordinator, settings).run()
        if sink.pages != jobs:
            raise RuntimeError(f"{sink.pages} of {jobs} pages were delivered")
        return stopwatch.seconds

    async def _work_alone(self, coordinator: Coordinator) -> None:
        async def work(name: str) -> None:
            while True:
                batch = coordinator.take_batch(name)
                if isinstance(batch, Backpressure):
                    await coordinator.backpressure_relieved()
                elif isinstance(batch, Batch):
                    for job in batch.jobs:
                        async with coordinator.admit(job, CONTENT_BYTES):
                            page = answer(job)
                        await coordinator.submit_results(page)
                else:
                    return

        async with trio.open_nursery() as nursery:
            for number in range(self.workers):
                nursery.start_soon(work, f"worker-{number}")

    def _pool(self, coordinator: Coordinator, settings: Settings) -> WorkerPool:
        # So many that nobody ever waits for them: benchmarks.rate_limiter says what waiting costs.
        limiter = RateLimiter(queries_per_minute=10**9, project_queries_per_minute=10**9)
        instruments, concurrency = Instruments(), Concurrency(self.workers)
        return WorkerPool(
            coordinator,
            cast("Fetcher", Echo(limiter, SearchAnalyticsQuery(SITE), USER)),
            RetryPolicy(SITE, USER, settings, concurrency, limiter, instruments),
            settings,
            concurrency,
            instruments,
        )


def cost_of(scenario: Scenario, jobs: int) -> Cost:
    """Measure a scenario."""
    return Cost(attrs.asdict(scenario), jobs, trio.run(scenario.seconds, jobs))


def print_costs(costs: Sequence[Cost]) -> None:
    """One line for each measurement."""
    rows = [(*cost.scenario.values(), cost.items, cost.microseconds) for cost in costs]
    print_table(["what", "workers", "batch", "jobs", "µs/job"], rows)


def print_profile(scenario: Scenario, jobs: int) -> None:
    """Which modules a job's time is spent in, by cProfile (which makes short functions dearer)."""
    with cProfile.Profile() as profile:
        trio.run(scenario.seconds, jobs)
    by_module: Counter[str] = Counter()
    for (path, _, _), (_, _, seconds, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        by_module[_module_of(path)] += seconds
    total = by_module.total()
    rows = [(name, f"{seconds / total:.0%}") for name, seconds in by_module.most_common(8)]
    print_table(["module", "share"], rows)


def _module_of(path: str) -> str:
    folders = Path(path).parent.parts
    if "gsc_trio" in folders:
        return f"gsc_trio.{Path(path).stem}"
    return "trio" if "trio" in folders else "Python and its library"


def judge(series_of_costs: Sequence[Sequence[Cost]], costs: Sequence[Cost]) -> list[str]:
    """What is not as it must be."""
    faults = [
        f"the cost of a job grows {growth(series):.2f}× in {dict(series[0].scenario)}"
        for series in series_of_costs
        if growth(series) > FLAT_RATIO
    ]
    return faults + [
        f"a job takes {cost.microseconds:.0f} µs in {dict(cost.scenario)}"
        for cost in costs
        if cost.microseconds >= MUST_MICROSECONDS
    ]


@click.command(help=__doc__)
@click.option("--largest", type=click.IntRange(2_000, 3_000_000), default=1_000_000,
    show_default=True, help="Jobs in the largest measurement.")  # fmt: skip
@click.option("--profile", is_flag=True, help="Also say which modules take the time.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to a file, too.")  # fmt: skip
def main(largest: int, profile: bool, json_path: Path | None) -> None:
    """Measure, and judge."""
    growing = [
        [cost_of(Scenario(WITH_WORKERS, 10, batch_size), size) for size in sizes_up_to(largest)]
        for batch_size in BATCH_SIZES
    ]
    click.echo(f"A job's cost as there are more of them (flat is at most {FLAT_RATIO:g}×)")
    for series in growing:
        print_costs(series)
        click.echo(f"    largest to smallest: {growth(series):.2f}×")
    click.echo(
        f"\nA job's cost by workers (must: {MUST_MICROSECONDS:g} µs, aim: {AIM_MICROSECONDS:g} µs)"
    )
    costs = [
        cost_of(Scenario(parts, workers, batch_size), min(largest, 20_000))
        for parts, batch_size, workers in product((ALONE, WITH_WORKERS), BATCH_SIZES, WORKERS)
    ]
    print_costs(costs)
    if profile:
        for batch_size in BATCH_SIZES:
            click.echo(f"\nWhere the time goes, 10 workers, batches of {batch_size}")
            print_profile(Scenario(WITH_WORKERS, 10, batch_size), min(largest, 20_000))
    faults = judge(growing, [*chain(*growing), *costs])
    if json_path is not None:
        results = {
            "growing": [[attrs.asdict(cost) for cost in series] for series in growing],
            "costs": [attrs.asdict(cost) for cost in costs],
            "faults": faults,
        }
        write_json(json_path, results)
    finish(faults)


if __name__ == "__main__":
    main()
