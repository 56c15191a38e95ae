"""Three worker processes on one Postgres, killed and stopped at random for minutes.

Each scenario follows from its seed, but for how fast the machine is. Users have a quota that binds
all the time, so a take-over that forgot what was sent would be seen by the server at once. In the
end the database must be the oracle's.

    python -m tests.soak.shard_rounds --seconds 300
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import attrs
import click

from gsc_trio.testing import FakeSearchConsole
from tests.postgres_server import running_server
from tests.shards.fleet import Fleet, Layout, WorkerProcess, open_fleet
from tests.soak.kill_rounds import BrokenPromiseError, check

WORKERS = 3
ACCOUNTS = 6
SITES = 4
QUERIES_PER_MINUTE = 120
FINISH_SECONDS = 420.0
"""How long what is left may take, at the pace of the quota."""


@attrs.define
class ShardReport:
    """What came out."""

    seconds: float = 0.0
    kills: int = 0
    stops: int = 0
    take_overs: int = 0
    """Leases that were taken from somebody."""
    queries: int = 0
    asked_twice: int = 0
    """Queries about pages that had been asked for before."""
    peak_of_a_user: int = 0
    peak_of_the_project: int = 0
    refused: int = 0
    rows: int = 0


def layout_for(seconds: float) -> Layout:
    """As much to fetch as the quota lets through in that time, if nobody is struck."""
    days = round(QUERIES_PER_MINUTE * seconds / 60 / SITES)
    return Layout(
        accounts=ACCOUNTS,
        sites=SITES,
        days=min(480, days),
        rows_per_day=40,
        seconds_per_call=0.05,
        queries_per_minute=QUERIES_PER_MINUTE,
        concurrency=3,
        batch_size=4,
    )


@attrs.define(eq=False)
class _Rounds:
    fleet: Fleet
    chance: random.Random
    report: ShardReport
    processes: ExitStack
    workers: list[WorkerProcess] = attrs.field(factory=list)
    stopped: list[tuple[float, WorkerProcess]] = attrs.field(factory=list)
    """When each that is stopped is to go on."""
    _started: int = 0

    def start_missing(self) -> None:
        while len(self.workers) < WORKERS:
            self._started += 1
            worker = self.fleet.worker(f"worker-{self._started}", "--shards", "3")
            self.workers.append(self.processes.enter_context(worker))

    def strike(self) -> None:
        """Kill one, or stop one for a while that is shorter or longer than what is waited for."""
        able = [each for each in self.workers if each not in [who for _, who in self.stopped]]
        if len(able) < 2:
            return
        worker = self.chance.choice(able)
        if self.chance.random() < 0.5:
            worker.send(signal.SIGKILL)
            worker.process.wait()
            self.workers.remove(worker)
            self.report.kills += 1
        else:
            worker.send(signal.SIGSTOP)
            self.stopped.append((time.monotonic() + self.chance.uniform(0.5, 15), worker))
            self.report.stops += 1

    def wake(self, *, all_of_them: bool = False) -> None:
        for at, worker in list(self.stopped):
            if all_of_them or time.monotonic() >= at:
                worker.send(signal.SIGCONT)
                self.stopped.remove((at, worker))

    def look_after(self) -> None:
        for worker in list(self.workers):
            code = worker.process.poll()
            check(code is None, f"{worker.name} ended by itself with {code}: {worker.said_last()}")

    def is_complete(self) -> bool:
        lines = self.fleet.board().values()
        return len(lines) == ACCOUNTS and all(line.status == "complete" for line in lines)


def run_shard_rounds(
    seconds: float, seed: int = 0, tell: Callable[[ShardReport], None] = lambda _: None
) -> ShardReport:
    """Strike for so long, let the rest be finished, and compare.

    Raises:
        BrokenPromiseError: what was broken.
    """
    report = ShardReport()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_server())
        fleet = stack.enter_context(open_fleet(layout_for(seconds), folder, server.new_database()))
        rounds = _Rounds(fleet, random.Random(f"shards {seed}"), report, stack)
        fleet.enqueue()
        began = time.monotonic()
        strikes_at = began + 5
        while time.monotonic() < began + seconds:
            rounds.start_missing()
            rounds.wake()
            rounds.look_after()
            if time.monotonic() >= strikes_at:
                rounds.strike()
                strikes_at = time.monotonic() + rounds.chance.uniform(1, 8)
            _count(report, fleet.fake, time.monotonic() - began)
            tell(report)
            time.sleep(0.1)
        rounds.start_missing()
        rounds.wake(all_of_them=True)
        while not rounds.is_complete():
            rounds.look_after()
            check(
                time.monotonic() < began + seconds + FINISH_SECONDS,
                f"not complete: {fleet.board()}",
            )
            _count(report, fleet.fake, time.monotonic() - began)
            tell(report)
            time.sleep(0.5)
        for worker in rounds.workers:
            code = worker.stop()
            check(code == 0, f"{worker.name} ended with {code}: {worker.said_last()}")
        _count(report, fleet.fake, time.monotonic() - began)
        tokens = [line.token or 0 for line in fleet.board().values()]
        report.take_overs = sum(tokens) - len(tokens)
        stored = fleet.stored()
        report.rows = len(stored["search_analytics_by_page_query"])
        check(stored == fleet.oracle(), "the database is not the oracle's")
    limit = QUERIES_PER_MINUTE
    check(report.peak_of_a_user <= limit, f"{report.peak_of_a_user} of a user's {limit} in 60 s")
    project = limit * ACCOUNTS
    check(report.peak_of_the_project <= project, f"{report.peak_of_the_project} of {project}")
    check(report.refused == 0, f"{report.refused} queries were refused")
    return report


def _count(report: ShardReport, fake: FakeSearchConsole, seconds: float) -> None:
    calls = Counter((call.site_url, call.data_date, call.start_row) for call in list(fake.calls))
    report.seconds = round(seconds, 1)
    report.queries = calls.total()
    report.asked_twice = calls.total() - len(calls)
    report.peak_of_a_user = fake.quota.peak("user")
    report.peak_of_the_project = fake.quota.peak("project")
    report.refused = fake.quota.refused


def figures(report: ShardReport) -> str:
    """In words."""
    return (
        f"{report.kills} kills, {report.stops} stops, {report.take_overs} take-overs in "
        f"{report.seconds:.0f} s; {report.rows:,} rows, 0 lost, 0 doubled; {report.queries:,} "
        f"queries, {report.asked_twice} of them a second time, 0 refused; at most "
        f"{report.peak_of_a_user} of {QUERIES_PER_MINUTE} of a user in any 60 s"
    )


@click.command("python -m tests.soak.shard_rounds")
@click.option("--seconds", default=300.0, show_default=True, help="For how long to strike.")
@click.option("--seed", default=0, show_default=True, help="What the instants follow from.")
def main(seconds: float, seed: int) -> None:
    """Kill and stop workers at random, and compare what they bring together with the oracle."""
    told_at = 0.0

    def tell(report: ShardReport) -> None:
        nonlocal told_at
        if time.monotonic() >= told_at + 10:
            told_at = time.monotonic()
            click.echo(str(report), err=True)

    try:
        report = run_shard_rounds(seconds, seed, tell)
    except BrokenPromiseError as error:
        raise click.ClickException(f"{error}\nseed: {seed}") from None
    click.echo(figures(report))


if __name__ == "__main__":
    main()
