"""kill -9 at random instants of a real run: a real process, a real socket, a real file.

Each scenario follows from its seed: a run is killed again and again, at an instant drawn anew each
time, until it completes. After each kill the database is read as it lies there.

    python -m tests.soak.kill_rounds --rounds 1000
    python -m tests.soak.kill_rounds --rounds 1000 --store parquet
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import attrs
import click
import trio

from gsc_trio.cli.stores import STORES, database_at, file_of
from gsc_trio.config import Settings
from gsc_trio.export.dataset import StoredRow, read_datasets, read_day, read_days
from gsc_trio.export.parquet_folder import read_file
from gsc_trio.model import Job, SearchAnalyticsQuery
from gsc_trio.store.connection import open_connection
from gsc_trio.store.dump import comparable_dump
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    SimulatedProperty,
    serve_fake_search_console,
)
from gsc_trio.testing.transport import App
from tests.processes import running

SITE = "sc-domain:example.com"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
DAYS = 30
ROW_LIMIT = 20
QUERY = SearchAnalyticsQuery(SITE, row_limit=ROW_LIMIT)
RUN_SECONDS = 60.0
KILLS_IN_A_ROW = 8


class BrokenPromiseError(AssertionError):
    """What was broken, and the command that replays it."""


@attrs.frozen
class Scenario:
    """How a run is set up; drawn from a seed."""

    seed: int
    max_concurrency: int
    batch_size: int
    seconds_per_call: float
    store: str

    @classmethod
    def draw(cls, seed: int, store: str) -> Scenario:
        chance = random.Random(f"kill {seed}")
        return cls(
            seed=seed,
            max_concurrency=chance.choice((1, 3, 10)),
            batch_size=chance.choice((1, 4, 50)),
            seconds_per_call=chance.choice((0.0, 0.002, 0.02)),
            store=store,
        )

    @property
    def in_flight_limit(self) -> int:
        settings = Settings(max_concurrency=self.max_concurrency, batch_size=self.batch_size)
        return self.batch_size if self.max_concurrency == 1 else settings.in_flight_limit


def simulated_property() -> SimulatedProperty:
    """Days without rows, with one page, with several, and with exactly full ones."""
    days = [END - dt.timedelta(days=number) for number in range(DAYS)]
    rows = (0, 7, 61, 20, 12, 45, 40, 3)
    rows_by_day = {day: rows[number % len(rows)] for number, day in enumerate(days)}
    return SimulatedProperty(SITE, rows_by_day=rows_by_day)


# The process that is killed.


async def backfill_once(arguments: dict[str, str | int]) -> str:
    """What each process does."""
    from gsc_trio import backfill, open_search_console

    settings = Settings(
        api_root=str(arguments["api_root"]),
        access_token=str(arguments["access_token"]),
        max_concurrency=int(arguments["max_concurrency"]),
        batch_size=int(arguments["batch_size"]),
        queries_per_minute=1_000_000,
        project_queries_per_minute=10_000_000,
    )
    async with (
        STORES[str(arguments["store"])](str(arguments["database"])) as store,
        open_search_console(settings) as client,
    ):
        start = END - dt.timedelta(days=DAYS - 1)
        summary = await backfill(client, QUERY, store, start=start, end=END, today=TODAY)
    return summary.status


def fork_server() -> None:
    """Fork a process for each line of stdin: what takes long to load is loaded once.

    Each is told by two lines: its number when it begins, its exit status when it has ended.
    """
    import gsc_trio  # noqa: F401 - loaded before the forks

    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os.setsid()
            signal.alarm(math.ceil(RUN_SECONDS))  # ends a run that hangs, whoever is left to care
            is_complete = trio.run(backfill_once, json.loads(line)) == "complete"
            os._exit(0 if is_complete else 1)
        print(process, flush=True)  # noqa: T201
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


@attrs.define(eq=False)
class Forks:
    """A fork server, seen from outside."""

    process: subprocess.Popen[str]
    lines: queue.SimpleQueue[int] = attrs.field(factory=queue.SimpleQueue)

    def start(self, arguments: dict[str, str | int]) -> int:
        """Start a run; gives its process number."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return self.lines.get(timeout=RUN_SECONDS)

    def ended(self, *, timeout: float) -> int | None:
        """The exit status of the run, or None if it is still going on."""
        try:
            return self.lines.get(timeout=timeout)
        except queue.Empty:
            return None


@contextmanager
def open_forks() -> Iterator[Forks]:
    command = [sys.executable, "-c", "from tests.soak.kill_rounds import *; fork_server()"]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        forks = Forks(process)

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                forks.lines.put(int(line))

        threading.Thread(target=read, daemon=True).start()
        yield forks


@contextmanager
def served(fake: App) -> Iterator[str]:
    """Serve a fake from a thread; gives its address."""
    started: queue.SimpleQueue[tuple[str, Callable[[], None]]] = queue.SimpleQueue()

    async def serve() -> None:
        stopped, token = trio.Event(), trio.lowlevel.current_trio_token()
        async with serve_fake_search_console(fake) as address:
            started.put((address, lambda: token.run_sync_soon(stopped.set)))
            await stopped.wait()

    thread = threading.Thread(target=trio.run, args=[serve], daemon=True)
    thread.start()
    address, stop = started.get(timeout=RUN_SECONDS)
    try:
        yield address
    finally:
        stop()
        thread.join()


# What is checked.


def committed_jobs(database: Path) -> set[Job]:
    """What the ledger holds, in a database that may not be complete yet; it must be sound."""
    file = file_of(database_at(database))
    if file is None or not file.is_file():
        return set()
    with closing(sqlite3.connect(file)) as connection:
        [(verdict,)] = connection.execute("PRAGMA integrity_check").fetchall()
        check(verdict == "ok", f"integrity_check says {verdict}")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "search_analytics_by_page_query" not in tables:
            return set()
        days = connection.execute(
            "SELECT data_date, sum(row_count), (SELECT count(*) "
            "FROM search_analytics_by_page_query AS stored "
            "WHERE stored.data_date = ledger.data_date) "
            "FROM page_ledger AS ledger GROUP BY data_date"
        ).fetchall()
        pages = connection.execute("SELECT data_date, start_row FROM page_ledger")
        jobs = {Job(dt.date.fromisoformat(day), start_row) for day, start_row in pages}
    files = rows_in_files(database) if file != database else {}
    for day, entered, stored in days:
        # A day's rows leave the database of a folder when its file is there.
        found = stored or len(files.get(day, []))
        check(entered == found, f"{day}: ledger {entered}, stored {found} rows")
    return jobs


def rows_in_files(folder: Path) -> dict[str, list[StoredRow]]:
    """What a folder of Parquet files holds, by day."""
    paths = folder.glob("search_analytics_by_page_query/**/*.parquet")
    return {path.parent.name.removeprefix("data_date="): read_file(path).rows for path in paths}


def rows_in_database(database: Path) -> dict[str, list[StoredRow]]:
    """What a SQLite database holds, by day."""
    with closing(open_connection(database, create=False, read_only=True)) as connection:
        [dataset] = read_datasets(connection)
        days = read_days(connection, dataset).versions
        contents = {day: read_day(connection, dataset, day) for day in days}
        return {str(day): content.rows for day, content in contents.items() if content}


def check(is_kept: bool, message: str) -> None:
    if not is_kept:
        raise BrokenPromiseError(message)


@cache
def oracle() -> tuple[str, dict[str, list[StoredRow]]]:
    """The database after a sequential run that nobody kills, as a dump and as rows."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "oracle.db"
        fake = FakeSearchConsole([simulated_property()])
        fake.quota.queries_per_minute = fake.quota.project_queries_per_minute = 10**9
        with served(fake) as api_root:
            arguments: dict[str, str | int] = {
                "api_root": api_root,
                "access_token": "oracle",
                "database": str(database),
                "store": "sqlite",
                "max_concurrency": 1,
                "batch_size": 1,
            }
            check(trio.run(backfill_once, arguments) == "complete", "the oracle is not complete")
        return comparable_dump(database), rows_in_database(database)


@attrs.define(eq=False)
class KillRun:
    """The lives of one run."""

    scenario: Scenario
    forks: Forks
    database: Path
    kills: int = 0
    pages_fetched_twice: int = 0
    _in_vain: set[Job] = attrs.field(factory=set)

    def live_through(self, max_kills: int) -> None:
        """Kill until it has completed, then compare."""
        scenario = self.scenario
        chance = random.Random(f"instants {scenario.seed}")
        fake = FakeSearchConsole(
            [simulated_property()], latency=Latency(scenario.seconds_per_call, seconds_per_row=0.0)
        )
        fake.quota.queries_per_minute = fake.quota.project_queries_per_minute = 10**9
        with served(fake) as api_root:
            is_complete = False
            while not is_complete:
                is_last = self.kills >= max_kills
                is_complete = self._live(fake, api_root, None if is_last else chance)
        dump, rows = oracle()
        if self.scenario.store == "parquet":
            check(rows_in_files(self.database) == rows, "the files do not have the oracle's rows")
        else:
            check(comparable_dump(self.database) == dump, "the database is not the oracle's")

    def _live(self, fake: FakeSearchConsole, api_root: str, chance: random.Random | None) -> bool:
        """One process; returns whether it came to its end."""
        name = f"life-{self.kills}"
        before, calls_before = committed_jobs(self.database), len(fake.calls)
        process = self.forks.start(
            {
                "api_root": api_root,
                "access_token": name,
                "database": str(self.database),
                "store": self.scenario.store,
                "max_concurrency": self.scenario.max_concurrency,
                "batch_size": self.scenario.batch_size,
            }
        )
        status = None
        if chance is not None:
            status = self._wait_for_the_instant(fake, calls_before, chance)
            if status is None:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(process, signal.SIGKILL)
                    self.kills += 1
        if status is None:
            status = self.forks.ended(timeout=RUN_SECONDS)
        check(status in {0, -signal.SIGKILL}, f"{name} ended with {status}")
        self._check_calls(fake, name, before)
        return status == 0

    def _wait_for_the_instant(
        self, fake: FakeSearchConsole, calls_before: int, chance: random.Random
    ) -> int | None:
        """Wait for so many calls, and a little more; returns the exit status if it ends first."""
        calls = chance.choice((0, chance.randrange(10), chance.randrange(50)))
        while len(fake.calls) - calls_before < calls:
            if (status := self.forks.ended(timeout=0.0005)) is not None:
                return status
        return self.forks.ended(timeout=chance.choice((0.0001, chance.uniform(0, 0.1))))

    def _check_calls(self, fake: FakeSearchConsole, name: str, before: set[Job]) -> None:
        asked = {
            Job(dt.date.fromisoformat(call.data_date), call.start_row)
            for call in list(fake.calls)
            if call.user == name
        }
        again = sorted(asked & before)
        check(not again, f"{name} asked for committed pages again: {again[:3]}")
        twice = asked & self._in_vain
        check(
            len(twice) <= self.scenario.in_flight_limit,
            f"{name} asked for {len(twice)} pages a second time",
        )
        self.pages_fetched_twice += len(twice)
        after = committed_jobs(self.database)
        check(before <= after, f"{name} lost pages that were committed")
        self._in_vain = asked - after


@attrs.frozen
class KillReport:
    """What came out."""

    scenarios: int
    kills: int
    pages_fetched_twice: int


def run_rounds(
    rounds: int,
    first_seed: int = 0,
    tell: Callable[[KillReport], None] = lambda _: None,
    store: str = "sqlite",
) -> KillReport:
    """Run scenarios until so many processes were killed.

    Raises:
        BrokenPromiseError: what was broken, and the command that replays it.
    """
    report = KillReport(0, 0, 0)
    seed = first_seed
    with open_forks() as forks, tempfile.TemporaryDirectory() as folder:
        while report.kills < rounds:
            database = Path(folder) / f"{seed}.db"
            run = KillRun(Scenario.draw(seed, store), forks, database)
            try:
                run.live_through(min(KILLS_IN_A_ROW, rounds - report.kills))
            except BrokenPromiseError as error:
                replay = (
                    f"python -m tests.soak.kill_rounds --rounds 1 --seed {seed} --store {store}"
                )
                raise BrokenPromiseError(f"{error}\nreplay: {replay}") from None
            if store == "sqlite":
                database.unlink()
            report = KillReport(
                report.scenarios + 1,
                report.kills + run.kills,
                report.pages_fetched_twice + run.pages_fetched_twice,
            )
            tell(report)
            seed += 1
    return report


@click.command("python -m tests.soak.kill_rounds")
@click.option("--rounds", default=1_000, show_default=True, help="How many processes to kill.")
@click.option("--seed", default=0, show_default=True, help="The first scenario.")
@click.option("--store", type=click.Choice(list(STORES)), default="sqlite", show_default=True)
def main(rounds: int, seed: int, store: str) -> None:
    """Kill real runs at random instants, and compare what becomes of them with the oracle."""
    try:
        report = run_rounds(rounds, seed, lambda each: click.echo(str(each)), store)
    except BrokenPromiseError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"0 lost, 0 doubled: {report}")


if __name__ == "__main__":
    main()
