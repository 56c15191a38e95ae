"""What a grant costs: `RateLimiter` alone, used as a worker uses it, in virtual time.

Four questions: what a query costs as more and more are sent (1,000 to 1,000,000), which must be
flat; for windows that hold from 60 to 40,000 permits; with nobody, 1, 10 or 100 workers waiting in
line; and how much of the quota is used when there is always work.

The window is full before a measurement begins, and its permits come back at even distances. So
without waiting, one permit (or a batch of them) comes back as one is taken; with workers in line,
all of them wait all the time, and each is served as soon as there is something to take.

Exits with 1 if the cost grows, if it reaches 100 µs a query, if less than 97 % of the quota is used
where there is work for all of it, or if the server ever counts more than the quota in 60 seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, product
from pathlib import Path
from typing import cast

import attrs
import click
import trio
import trio.testing

from benchmarks.overhead import (
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
from gsc_trio.permits import Grant
from gsc_trio.quota_window import CLOCK_DRIFT
from gsc_trio.rate_limiter import WINDOW_SECONDS, Limited, RateLimiter
from gsc_trio.testing import Quota
from gsc_trio.testing.virtual_time import run_in_virtual_time

SITE = "sc-domain:benchmark.example"
USER = "benchmark"
BATCH_SIZES = (1, 50)
WINDOWS = (60, 1_200, 40_000)
WAITING = (0, 1, 10, 100)

QUERIES_PER_MINUTE = 1_200
LATENCY_SECONDS = 0.35
MUST_USE = 0.97
QUOTA_USERS = ((1, 3), (1, 10), (1, 24), (10, 3), (10, 10), (50, 3), (50, 10), (50, 24))
"""Batch size and workers."""
PARALLEL, ONE_BY_ONE = "in parallel", "one by one"


async def take(limiter: RateLimiter, count: int) -> Grant:
    """Get permits as `gsc_trio.worker` does: ask first, then wait in line if it must be."""
    decision = limiter.check_rate(USER, SITE, count, at_least=1)
    if isinstance(decision, Limited):
        return await limiter.acquire(USER, SITE, count, at_least=1)
    return decision


def spend(grant: Grant) -> None:
    """Every query is sent and answered, one by one."""
    with grant:
        grant.mark_sent(grant.count)
        for _ in range(grant.count):
            grant.settle()


@attrs.frozen
class Scenario:
    """How the limiter is used."""

    window: int
    """Permits in a minute."""
    batch_size: int
    waiting: int
    """Workers in line, or 0 for one that never has to wait."""

    @property
    def seconds_between(self) -> float:
        """How far apart batches are that use the whole window and never wait."""
        return self.batch_size / self.window * WINDOW_SECONDS * CLOCK_DRIFT * 1.0001

    async def seconds(self, queries: int) -> float:
        """Processor time for a number of queries. The clock must be trio's MockClock."""
        limiter = RateLimiter(
            queries_per_minute=self.window, project_queries_per_minute=max(self.window, 40_000)
        )
        await self._work_at_leisure(limiter, self.window)
        with Stopwatch() as stopwatch:
            if self.waiting:
                await self._work_in_line(limiter, queries)
            else:
                await self._work_at_leisure(limiter, queries)
        return stopwatch.seconds

    async def _work_at_leisure(self, limiter: RateLimiter, queries: int) -> None:
        clock = cast("trio.testing.MockClock", trio.lowlevel.current_clock())
        while queries > 0:
            grant = await take(limiter, min(queries, self.batch_size))
            queries -= grant.count
            spend(grant)
            clock.jump(self.seconds_between)

    async def _work_in_line(self, limiter: RateLimiter, queries: int) -> None:
        async def work() -> None:
            nonlocal queries
            while queries > 0:
                grant = await take(limiter, self.batch_size)
                queries -= grant.count
                spend(grant)

        async with trio.open_nursery() as nursery:
            for _ in range(self.waiting):
                nursery.start_soon(work)


def cost_of(scenario: Scenario, queries: int) -> Cost:
    """Measure a scenario in virtual time."""
    seconds = run_in_virtual_time(scenario.seconds, queries)
    return Cost(attrs.asdict(scenario), queries, seconds)


@attrs.frozen
class QuotaUse:
    """What of a minute's quota was used over an hour, as the server counts."""

    batch_size: int
    workers: int
    parts: str
    """How the parts of a batch are answered: `PARALLEL` or `ONE_BY_ONE`."""
    queries: int
    """All that were counted in the hour."""
    peak: int
    """The most in any 60 seconds."""
    demand: int
    """What so many workers could send in an hour if there were no quota."""

    @property
    def share(self) -> float:
        """Of the quota."""
        return self.queries / (60 * QUERIES_PER_MINUTE)

    @property
    def is_bound_by_quota(self) -> bool:
        """Whether there was work for all of it."""
        return self.demand >= 1.1 * 60 * QUERIES_PER_MINUTE

    @property
    def is_kept(self) -> bool:
        """Never over, and nearly all of it used where there was work for it."""
        return self.peak <= QUERIES_PER_MINUTE and (
            self.share >= MUST_USE or not self.is_bound_by_quota
        )


async def use_of_quota(batch_size: int, workers: int, parts: str) -> QuotaUse:
    """Let workers send as much as they are allowed to, and count at the server."""
    limiter = RateLimiter(queries_per_minute=QUERIES_PER_MINUTE)
    server = Quota(queries_per_minute=QUERIES_PER_MINUTE)
    counted = 0

    async def work() -> None:
        nonlocal counted
        while True:
            with await take(limiter, batch_size) as grant:
                grant.mark_sent(grant.count)
                await trio.sleep(LATENCY_SECONDS / 2)
                for _ in range(grant.count):
                    server.admit(SITE, USER)
                if trio.current_time() > 60:  # the first minute begins with an empty window
                    counted += grant.count
                await trio.sleep(LATENCY_SECONDS / 2)
                for number in range(grant.count):
                    if number and parts == ONE_BY_ONE:
                        await trio.sleep(LATENCY_SECONDS)
                    grant.settle()

    with trio.move_on_after(61 * 60):
        async with trio.open_nursery() as nursery:
            for _ in range(workers):
                nursery.start_soon(work)
    at_once = batch_size if parts == PARALLEL else 1
    return QuotaUse(
        batch_size=batch_size,
        workers=workers,
        parts=parts,
        queries=counted,
        peak=server.peak_queries_per_minute,
        demand=round(3_600 / LATENCY_SECONDS * at_once * workers),
    )


def trio_wait_microseconds(waits: int = 20_000) -> float:
    """What trio alone takes, in virtual time, for a task that waits until a time and goes on."""

    async def run() -> float:
        with Stopwatch() as stopwatch:
            for _ in range(waits):
                with trio.move_on_after(0.05):
                    await trio.Event().wait()
        return stopwatch.seconds

    return run_in_virtual_time(run) / waits * 1e6


def print_costs(costs: Sequence[Cost]) -> None:
    """One line for each measurement."""
    print_table(
        ["queries", "window", "batch", "waiting", "µs/query"],
        [
            (
                cost.items,
                cost.scenario["window"],
                cost.scenario["batch_size"],
                cost.scenario["waiting"] or "nobody",
                cost.microseconds,
            )
            for cost in costs
        ],
    )


def print_quota_uses(uses: Sequence[QuotaUse]) -> None:
    """One line for each; where latency leaves quota unused, say so."""
    print_table(
        ["batch", "workers", "parts answered", "used", "peak in 60 s", "bound by"],
        [
            (
                use.batch_size,
                use.workers,
                use.parts,
                f"{use.share:.1%}",
                use.peak,
                "quota" if use.is_bound_by_quota else "latency",
            )
            for use in uses
        ],
    )


def judge(
    growing: Sequence[Sequence[Cost]], costs: Sequence[Cost], uses: Sequence[QuotaUse]
) -> list[str]:
    """What is not as it must be."""
    faults = [
        f"the cost of a query grows {growth(series):.2f}× in {dict(series[0].scenario)}"
        for series in growing
        if growth(series) > FLAT_RATIO
    ]
    dearest = max(costs, key=lambda cost: cost.microseconds)
    if dearest.microseconds >= MUST_MICROSECONDS:
        faults.append(f"a query takes {dearest.microseconds:.0f} µs in {dict(dearest.scenario)}")
    faults += [f"the quota is not used as promised in {use}" for use in uses if not use.is_kept]
    return faults


@click.command(help=__doc__)
@click.option("--largest", type=click.IntRange(2_000), default=1_000_000, show_default=True,
    help="Queries in the largest measurement.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to a file, too.")  # fmt: skip
def main(largest: int, json_path: Path | None) -> None:
    """Measure, and judge."""
    growing = [
        [cost_of(Scenario(1_200, batch_size, waiting), size) for size in sizes_up_to(largest)]
        for batch_size in BATCH_SIZES
        for waiting in (0, 10)
    ]
    click.echo(f"A query's cost as more are sent (flat is at most {FLAT_RATIO:g}×)")
    for series in growing:
        print_costs(series)
        click.echo(f"    largest to smallest: {growth(series):.2f}×")
    queries = min(largest, 20_000)
    costs = [
        cost_of(Scenario(window, batch_size, waiting), queries)
        for window, batch_size, waiting in product(WINDOWS, BATCH_SIZES, WAITING)
    ]
    click.echo("\nA query's cost by window, batch size and workers in line")
    print_costs(costs)
    wait = trio_wait_microseconds()
    click.echo(f"    each wait takes trio alone {wait:.1f} µs; a grant in line takes one or two")
    click.echo(
        f"\nUse of {QUERIES_PER_MINUTE:,} queries a minute in an hour, {LATENCY_SECONDS} s each"
    )
    uses = [
        run_in_virtual_time(use_of_quota, batch_size, workers, parts)
        for batch_size, workers in QUOTA_USERS
        for parts in (PARALLEL, ONE_BY_ONE)
        if batch_size > 1 or parts == ONE_BY_ONE
    ]
    print_quota_uses(uses)
    faults = judge(growing, [*chain(*growing), *costs], uses)
    if json_path is not None:
        results = {
            "growing": [[attrs.asdict(cost) for cost in series] for series in growing],
            "costs": [attrs.asdict(cost) for cost in costs],
            "trio_wait_microseconds": wait,
            "quota": [attrs.asdict(use) | {"share": use.share} for use in uses],
            "faults": faults,
        }
        write_json(json_path, results)
    finish(faults)


if __name__ == "__main__":
    main()
