"""The soak: what the tests do in small, in large. It is bounded, and ends with a table.

make soak
python -m tests.soak --seeds 10000 --kills 100 --inputs 100000   # a smaller one
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import attrs
import click
from rich.console import Console
from rich.table import Table

from tests.soak import fuzz_multipart, kill_rounds, shard_rounds, shared_quota, worlds

PROGRESS_SECONDS = 15.0


@attrs.frozen
class Result:
    """A row of the table."""

    what: str
    figures: str
    broken: int


def soak_worlds(seeds: int, first: int, tell: Callable[[str], None]) -> Iterator[Result]:
    """Simulated worlds."""
    done = deaths = halts = broken = 0
    for report in worlds.simulate_many(first, seeds):
        done, deaths, halts = done + report.worlds, deaths + report.deaths, halts + report.halts
        broken += len(report.broken)
        for message in report.broken:
            click.echo(message, err=True)
        tell(f"{done:,} of {seeds:,} simulated worlds, {broken} broken promises")
    figures = f"{done:,} seeds from {first:,}; {deaths:,} crashes, {halts:,} halts survived"
    yield Result("simulated worlds", figures, broken)


def soak_kills(rounds: int, tell: Callable[[str], None]) -> Iterator[Result]:
    """Real runs, killed."""

    def tell_report(report: kill_rounds.KillReport) -> None:
        tell(f"{report.kills:,} of {rounds:,} processes killed")

    what = "kill -9 of real runs"
    try:
        report = kill_rounds.run_rounds(rounds, first_seed=1_000, tell=tell_report)
    except kill_rounds.BrokenPromiseError as error:
        click.echo(error, err=True)
        yield Result(what, str(error).splitlines()[0], 1)
        return
    yield Result(
        what,
        f"{report.kills:,} kills in {report.scenarios:,} runs; 0 lost, 0 doubled, 0 committed "
        f"pages fetched again ({report.pages_fetched_twice:,} that were not committed were)",
        0,
    )


def soak_multipart(inputs: int, tell: Callable[[str], None]) -> Iterator[Result]:
    """The fuzzer."""
    what = "multipart decoder, fuzzed"
    tell(f"{inputs:,} inputs for the multipart decoder")
    try:
        report = fuzz_multipart.fuzz(inputs)
    except click.ClickException as error:
        click.echo(error.message, err=True)
        yield Result(what, error.message.splitlines()[0], 1)
    else:
        coverage = f" ({report.coverage})" if report.coverage else ""
        yield Result(what, f"{report.inputs:,} inputs by {report.engine}{coverage}", 0)


def soak_shared_quota(queries_per_minute: int, tell: Callable[[str], None]) -> Iterator[Result]:
    """Days of a quota that is shared."""
    for max_concurrency in (1, 3, 10):
        tell(f"24 hours of a shared quota, concurrency {max_concurrency}")
        report = shared_quota.shared_quota_day(
            queries_per_minute=queries_per_minute, hours=24, max_concurrency=max_concurrency
        )
        is_kept = (
            report.peak_queries_per_minute <= queries_per_minute
            and report.unexplained_stall_seconds <= 0.5
            and report.summary.status == "interrupted"
        )
        figures = (
            f"{report.queries:,} queries, {report.refused:,} refused, {report.pauses:,} pauses; at "
            f"most {report.peak_queries_per_minute} of {queries_per_minute} in any 60 s; "
            f"{report.quiet_use:.1%} used while alone; longest gap "
            f"{report.longest_gap_seconds:.1f} s"
        )
        yield Result(f"24 h of a shared quota × {max_concurrency}", figures, int(not is_kept))


def soak_shards(seconds: float, tell: Callable[[str], None]) -> Iterator[Result]:
    """Real workers on a real Postgres, killed and stopped."""
    what = "three workers on Postgres, killed and stopped"
    try:
        report = shard_rounds.run_shard_rounds(seconds, tell=lambda each: tell(str(each)))
    except kill_rounds.BrokenPromiseError as error:
        click.echo(error, err=True)
        yield Result(what, str(error).splitlines()[0], 1)
        return
    yield Result(what, shard_rounds.figures(report), 0)


class Teller:
    """Prints now and then."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told_at = 0.0

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            click.echo(f"{now - self._began:6.0f} s  {text}", err=True)


@click.command("python -m tests.soak")
@click.option(
    "--part",
    "chosen",
    multiple=True,
    type=click.Choice(["kills", "multipart", "quota", "shards", "worlds"]),
    help="Only this one; may be given several times. By default all.",
)
@click.option("--seeds", default=100_000, show_default=True, help="How many simulated worlds.")
@click.option("--first-seed", default=2_000, show_default=True, help="Where they begin.")
@click.option("--kills", default=1_000, show_default=True, help="How many processes to kill.")
@click.option("--inputs", default=1_000_000, show_default=True, help="How many fuzzed answers.")
@click.option(
    "--queries-per-minute", default=60, show_default=True, help="The quota that is shared."
)
@click.option(
    "--shard-seconds",
    default=300.0,
    show_default=True,
    help="How long workers are killed and stopped.",
)
def main(
    *,
    chosen: tuple[str, ...],
    seeds: int,
    first_seed: int,
    kills: int,
    inputs: int,
    queries_per_minute: int,
    shard_seconds: float,
) -> None:
    """Do for long what the tests do in short; exit 1 if a promise is broken."""
    tell = Teller()
    parts: dict[str, Callable[[], Iterator[Result]]] = {
        "kills": lambda: soak_kills(kills, tell),
        "multipart": lambda: soak_multipart(inputs, tell),
        "quota": lambda: soak_shared_quota(queries_per_minute, tell),
        "shards": lambda: soak_shards(shard_seconds, tell),
        "worlds": lambda: soak_worlds(seeds, first_seed, tell),
    }
    table = Table("what", "figures", "broken", "minutes", title="soak")
    broken = 0
    for name in chosen or parts:
        began = time.monotonic()
        for result in parts[name]():
            broken += result.broken
            minutes = (time.monotonic() - began) / 60
            table.add_row(result.what, result.figures, str(result.broken), f"{minutes:.1f}")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
