"""What a property costs when there are many in one process: memory and time, 100 to 5,000 of them.

Two questions, each measured in a process of its own for every number of properties, with a real
SQLite file (`synchronous=FULL`):

- *idle*: all days of all properties are there already, so that nothing is sent; what is left is to
  find that out.
- *new days*: each property lacks a few days, of about 20 rows, which a server in another process
  answers at once; there is no quota. What is measured is the program, the socket and the disk.

Memory must be flat: when the database is closed, the largest number may have a tenth more than the
smallest; at its peak, SQLite's page cache more, which fills with whatever is read, up to 32 MiB.

Exits with 1 if memory is not flat, or if a property is not complete.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import attrs
import click
import trio

from benchmarks.overhead import finish, print_table, write_json
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.many import backfill_many
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.store.connection import CACHE_KIBIBYTES
from gsc_trio.store.ledger import ensure_dataset, record_page
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.telemetry.memory import resident_bytes
from gsc_trio.testing import FakeSearchConsole, Quota, SimulatedProperty, serve_fake_search_console

IDLE, NEW_DAYS = "idle", "new days"
FLAT_RATIO = 1.1
WORKERS = 10
NO_LIMIT = 1_000_000
"""In queries a minute."""

MEGABYTE = 1_000_000


CACHE_MEGABYTES = CACHE_KIBIBYTES * 1_024 / MEGABYTE


def site(number: int) -> str:
    """The name of a property."""
    return f"sc-domain:property-{number}.benchmark.example"


@attrs.frozen
class Task:
    """What a process measures."""

    kind: str
    properties: int
    days: int
    """Days of each property that are asked for."""
    api_root: str
    database: Path


@attrs.frozen
class Cost:
    """What it measured."""

    kind: str
    properties: int
    days_fetched: int
    seconds: float
    cpu_seconds: float
    resident_megabytes: float
    """When every property is done with, and the database closed."""
    peak_megabytes: float
    failed: int

    @property
    def milliseconds_per_property(self) -> float:
        """Time on the wall."""
        return 1_000 * self.seconds / self.properties


def measure(task: Task) -> Cost:
    """Backfill all properties; runs in a process of its own."""
    return trio.run(_measure, task)


async def _measure(task: Task) -> Cost:
    end = last_final_day(pacific_today())
    settings = Settings(
        api_root=task.api_root,
        max_concurrency=WORKERS,
        queries_per_minute=NO_LIMIT,
        project_queries_per_minute=NO_LIMIT,
    )
    async with (
        open_sqlite_store(task.database) as store,
        open_search_console(settings) as client,
    ):
        began, cpu = time.perf_counter(), time.process_time()
        summaries = await backfill_many(
            client,
            (SearchAnalyticsQuery(site(number)) for number in range(task.properties)),
            store,
            start=end - dt.timedelta(days=task.days - 1),
            end=end,
        )
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return Cost(
        kind=task.kind,
        properties=task.properties,
        days_fetched=sum(summary.days for summary in summaries),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        resident_megabytes=resident_bytes() / MEGABYTE,
        peak_megabytes=peak_bytes() / MEGABYTE,
        failed=sum(summary.status != "complete" for summary in summaries),
    )


def peak_bytes() -> int:
    """The most memory that this process ever had; `getrusage` would count what started it, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError("this needs Linux")


def fill(database: Path, properties: int, days: int) -> None:
    """A ledger in which every day of every property is complete, and empty."""

    async def make() -> None:
        async with open_sqlite_store(database):
            pass

    trio.run(make)
    end = last_final_day(pacific_today())
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for number in range(properties):
            dataset_id = ensure_dataset(connection, SearchAnalyticsQuery(site(number)))
            for back in range(days):
                page = Page(Job(end - dt.timedelta(days=back)), [], 25_000, 0)
                record_page(connection, dataset_id, page, "final")
        connection.execute("COMMIT")


@contextmanager
def server_for(properties: int) -> Iterator[str]:
    """A fake Search Console in a process of its own; gives its address."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(properties, sender), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.terminate()
        process.join()


def _serve(properties: int, sender: Connection) -> None:
    async def serve() -> None:
        fake = FakeSearchConsole(
            [
                SimulatedProperty(site(number), seed=number, rows_per_day=20)
                for number in range(properties)
            ],
            quota=Quota(NO_LIMIT, NO_LIMIT),
        )
        async with serve_fake_search_console(fake) as address:
            sender.send(address)
            await trio.sleep_forever()

    trio.run(serve)


def costs_of(numbers: Sequence[int], stored_days: int, new_days: int) -> Iterator[Cost]:
    """Measure both kinds, for each number of properties."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as processes:
        for number in numbers:
            with tempfile.TemporaryDirectory() as folder:
                database = Path(folder) / "gsc.db"
                fill(database, number, stored_days)
                idle = Task(IDLE, number, stored_days, "http://127.0.0.1:1", database)
                yield processes.submit(measure, idle).result()
        for number in numbers:
            with tempfile.TemporaryDirectory() as folder, server_for(number) as api_root:
                task = Task(NEW_DAYS, number, new_days, api_root, Path(folder) / "gsc.db")
                yield processes.submit(measure, task).result()


def judge(costs: Sequence[Cost], new_days: int) -> list[str]:
    """What is not as it must be."""
    faults = []
    for kind in (IDLE, NEW_DAYS):
        of_kind = [cost for cost in costs if cost.kind == kind]
        smallest, largest = of_kind[0], of_kind[-1]
        for name, before, after in (
            ("at the end", smallest.resident_megabytes, largest.resident_megabytes),
            ("at the peak", smallest.peak_megabytes + CACHE_MEGABYTES, largest.peak_megabytes),
        ):
            if after > FLAT_RATIO * before:
                faults.append(
                    f"{kind}: {largest.properties:,} properties take {after:.1f} MB {name}, "
                    f"{smallest.properties:,} take {before:.1f}"
                )
    for cost in costs:
        expected = cost.properties * new_days if cost.kind == NEW_DAYS else 0
        if cost.failed or cost.days_fetched != expected:
            faults.append(
                f"{cost.kind}, {cost.properties:,} properties: {cost.failed:,} are not complete, "
                f"{cost.days_fetched:,} of {expected:,} days were fetched"
            )
    return faults


@click.command(help=__doc__)
@click.option("--properties", "numbers", multiple=True, type=click.IntRange(1),
    default=(100, 500, 1_000, 2_000, 5_000), show_default=True,
    help="How many; give it several times.")  # fmt: skip
@click.option("--stored-days", type=click.IntRange(1, 480), default=150, show_default=True,
    help="Days that each idle property has.")  # fmt: skip
@click.option("--new-days", type=click.IntRange(1, 480), default=3, show_default=True,
    help="Days that each of the others lacks.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to a file, too.")  # fmt: skip
def main(numbers: tuple[int, ...], stored_days: int, new_days: int, json_path: Path | None) -> None:
    """Measure, and judge."""
    costs = []
    for cost in costs_of(sorted(numbers), stored_days, new_days):
        click.echo(f"{cost.kind}, {cost.properties:,}: {cost.seconds:.1f} s", err=True)
        costs.append(cost)
    print_table(
        (
            "kind",
            "properties",
            "days fetched",
            "ms each",
            "CPU ms each",
            "MB at the end",
            "peak MB",
        ),
        [
            (
                cost.kind,
                cost.properties,
                cost.days_fetched,
                f"{cost.milliseconds_per_property:.2f}",
                f"{1_000 * cost.cpu_seconds / cost.properties:.2f}",
                cost.resident_megabytes,
                cost.peak_megabytes,
            )
            for cost in costs
        ],
    )
    faults = judge(costs, new_days)
    if json_path is not None:
        write_json(json_path, {"costs": [attrs.asdict(cost) for cost in costs], "faults": faults})
    finish(faults)


if __name__ == "__main__":
    main()
