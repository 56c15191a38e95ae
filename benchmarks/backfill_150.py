"""150 days over a real socket into a real SQLite file: the concurrent path against the sequential.

Both paths fetch the same simulated property with the same batch size from a fake Search Console in
a process of its own, in turns, in one run; commits (``synchronous=FULL``) are part of the time.
The figure is the ratio of the medians. It counts only if both databases are byte for byte the same.

The latency model is the fake's: 350 ms a query and 25 µs a row, the parts of a batch one after
another, multiplied by ``--latency-scale``. The bound is what that model alone allows: as many
times as fast as there are workers.
"""

from __future__ import annotations

import datetime as dt
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import trio

from gsc_trio import (
    SearchAnalyticsQuery,
    Settings,
    backfill,
    open_search_console,
    open_sqlite_store,
)
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.cli.fake_server import FakeServerOptions
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.store.dump import comparable_dump

SITE = "sc-domain:benchmark.example"
DAYS = 150
MUST = 4.0


async def measure(settings: Settings, path: Path) -> tuple[float, str]:
    """One run into a fresh database: seconds from plan to last commit, and what is in it."""
    end = last_final_day(pacific_today())
    start = end - dt.timedelta(days=DAYS - 1)
    async with open_search_console(settings) as client, open_sqlite_store(path) as store:
        started_at = time.perf_counter()
        summary = await backfill(client, SearchAnalyticsQuery(SITE), store, start=start, end=end)
        seconds = time.perf_counter() - started_at
    if summary.status != "complete":
        raise click.ClickException(f"the run did not complete: {summary.reason}")
    return seconds, await trio.to_thread.run_sync(comparable_dump, path)


async def compare(
    max_concurrency: int, batch_size: int, latency_scale: float, rows_per_day: int, rounds: int
) -> float:
    """Measure both paths in turns, say what came out, and give the speed-up."""
    fake = FakeServerOptions(
        host="127.0.0.1",
        port=0,
        site=SITE,
        rows_per_day=rows_per_day,
        rows_on_the_first=rows_per_day,
        latency_scale=latency_scale,
        queries_per_minute=1_000_000,
        seed=1,
    )
    seconds: dict[int, list[float]] = {1: [], max_concurrency: []}
    dumps = set()
    async with open_fake_process(fake) as api_root:
        for number in range(rounds + 1):  # the first round warms the fake's cache
            for concurrency, kept in seconds.items():
                settings = Settings(
                    api_root=api_root,
                    max_concurrency=concurrency,
                    batch_size=batch_size,
                    queries_per_minute=1_000_000,
                    project_queries_per_minute=10_000_000,
                )
                with tempfile.TemporaryDirectory(prefix="gsc-trio-benchmark-") as folder:
                    elapsed, dump = await measure(settings, Path(folder, "run.db"))
                dumps.add(dump)
                if number:
                    kept.append(elapsed)
    if len(dumps) > 1:
        raise click.ClickException("the databases differ: a fast wrong answer is a failure")
    sequential, concurrent = (statistics.median(kept) for kept in seconds.values())
    speed_up = sequential / concurrent
    click.echo(
        f"{DAYS} days of about {rows_per_day:,} rows, batches of {batch_size}, "
        f"latency × {latency_scale:g}, median of {rounds}, databases identical\n"
        f"  sequential                {sequential:7.2f} s\n"
        f"  {max_concurrency:2} workers                {concurrent:7.2f} s\n"
        f"  speed-up {speed_up:.2f}×, bound {max_concurrency}×, "
        f"efficiency {speed_up / max_concurrency:.0%}"
    )
    return speed_up


@click.command(help=f"{__doc__}\n\nExits with 1 below {MUST:g}×.")
@click.option("--max-concurrency", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--batch-size", type=click.IntRange(1, 1_000), default=10, show_default=True)
@click.option("--latency-scale", type=click.FloatRange(0, 10), default=0.2, show_default=True)
@click.option("--rows-per-day", type=click.IntRange(1, 25_000), default=50, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
def main(
    max_concurrency: int, batch_size: int, latency_scale: float, rows_per_day: int, rounds: int
) -> None:
    """Measure, and judge."""
    speed_up = trio.run(compare, max_concurrency, batch_size, latency_scale, rows_per_day, rounds)
    sys.exit(0 if speed_up >= MUST else 1)


if __name__ == "__main__":
    main()
