"""Measuring: peers take turns on one server, each run is a process, each database is checked."""

from __future__ import annotations

import math
import sqlite3
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import cast

import attrs
import click
import msgspec
import trio

from benchmarks.ideal import latency_bound
from benchmarks.latency_model import LatencyModel
from benchmarks.measurement import WrongAnswerError
from benchmarks.peers.peer import BATCH_SIZE, Peer, PeerResult, PeerTask
from benchmarks.peers.property import PeerProperty, StoredRow, stored_row
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.cli.fake_server import FakeServerOptions

OURS = ("gsc_trio_single", "gsc_trio_batches")
OTHERS = (
    "searchconsole_package",
    "google_loop",
    "google_batch",
    "google_threads",
    "asyncio_aiohttp",
)
NAMES = (*OTHERS, *OURS)
WARMING = ("google_threads", "gsc_trio_single")
"""Whoever runs first, uncounted: the server prepares each answer when it first gives it, once with
and once without white space."""
SLOW_SECONDS = 8.0
"""A run that takes longer is measured once only."""
MAX_SECONDS = 1_200.0
"""A run that takes even longer hangs: most peers know no time-outs."""


@attrs.frozen
class Installed:
    """A peer that can be run."""

    name: str
    """Of its module."""
    peer: Peer


@attrs.frozen
class PeerFigure:
    """What a peer took for a property, at a width."""

    name: str
    title: str
    width: int
    """HTTP requests in flight."""
    seconds: list[float]
    cpu_seconds: float
    rows: int

    @property
    def median(self) -> float:
        """The median of the runs, in seconds."""
        return statistics.median(self.seconds)


@attrs.frozen
class Comparison:
    """All peers on one property, with one latency model, at one width."""

    workload: str
    model: str
    width: int
    latency_bound: float
    """Seconds that latency alone takes with so many plain queries in flight."""
    batch_bound: float
    """The same, if each request holds a batch."""
    figures: list[PeerFigure]

    def best(self, names: Sequence[str]) -> PeerFigure | None:
        """The fastest of some peers, if any of them was measured."""
        measured = [figure for figure in self.figures if figure.name in names]
        return min(measured, key=lambda figure: figure.median, default=None)


def installed_peers(names: Sequence[str]) -> Iterator[Installed]:
    """The peers that are there; of those that are not, it says so."""
    for name in names:
        try:
            peer = cast("Peer", import_module(f"benchmarks.peers.{name}"))
        except ImportError as error:
            click.echo(f"  not measured, since {error.name} is not installed: {name}")
            continue
        click.echo(f"  {peer.TITLE} ({', '.join(map(_release, peer.REQUIRES))}): {peer.WRITES}")
        yield Installed(name, peer)


def _release(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return library


@attrs.frozen
class Session:
    """What is measured, and how often.

    Args:
        peers: who takes part.
        widths: how many HTTP requests in flight.
        rounds: how often, for runs that are not slow.
    """

    peers: Sequence[Installed]
    widths: Sequence[int]
    rounds: int

    async def compare(self, held: PeerProperty, model: LatencyModel) -> list[Comparison]:
        """Measure all peers at all widths, with the parts of a batch answered in both ways.

        Who is not concurrent is measured once for all widths, and who sends no batches once for
        both ways.
        """
        models = [attrs.evolve(model, parallel_parts=parallel) for parallel in (False, True)]
        figures: dict[tuple[str, int, bool], PeerFigure] = {}
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(open_fake_process(_fake(held, each)))
                for each in models
            ]
            for api_root in servers:
                await self._warm(held, api_root)
            for _ in range(self.rounds):
                for installed, width, parallel in self._turns():
                    turn = (installed.name, width, parallel)
                    before = figures.get(turn)
                    if before is None or before.seconds[0] <= SLOW_SECONDS:
                        result = await measure(installed, held, servers[parallel], width)
                        figures[turn] = _figure(installed, width, held, result, before)
        return [
            Comparison(
                workload=str(held.workload),
                model=str(each),
                width=width,
                latency_bound=latency_bound(held.workload.days, each, width, 1),
                batch_bound=latency_bound(held.workload.days, each, width, BATCH_SIZE),
                figures=[
                    figures[installed.name, own_width, parallel]
                    for installed, own_width, parallel in self._turns()
                    if own_width in {1, width}
                    and parallel == (each.parallel_parts and installed.peer.SENDS_BATCHES)
                ],
            )
            for width in self.widths
            for each in models
        ]

    def _turns(self) -> Iterator[tuple[Installed, int, bool]]:
        """Each peer, at each width, with parts one after another and in parallel."""
        for installed in self.peers:
            for width in self.widths if installed.peer.IS_CONCURRENT else (1,):
                yield installed, width, False
                if installed.peer.SENDS_BATCHES:
                    yield installed, width, True

    async def _warm(self, held: PeerProperty, api_root: str) -> None:
        for installed in self.peers:
            if installed.name in WARMING:
                await measure(installed, held, api_root, width=max(self.widths))


def _figure(
    installed: Installed,
    width: int,
    held: PeerProperty,
    result: PeerResult,
    before: PeerFigure | None,
) -> PeerFigure:
    """A result, together with those before it."""
    return PeerFigure(
        name=installed.name,
        title=installed.peer.TITLE,
        width=width,
        seconds=[*(before.seconds if before else ()), result.seconds],
        cpu_seconds=min(result.cpu_seconds, before.cpu_seconds if before else math.inf),
        rows=held.workload.rows,
    )


async def measure(
    installed: Installed, held: PeerProperty, api_root: str, width: int
) -> PeerResult:
    """One run into a fresh database.

    Raises:
        WrongAnswerError: it failed, or did not store what the server holds.
    """
    workload = held.workload
    with tempfile.TemporaryDirectory(prefix="gsc-trio-peers-") as folder:
        task = PeerTask(
            api_root=api_root,
            database=str(Path(folder, "run.db")),
            site_url=workload.query.site_url,
            dimensions=workload.query.dimensions,
            start=workload.start,
            end=workload.end,
            width=width,
        )
        command = [sys.executable, "-m", "benchmarks.peers.child", installed.name]
        command.append(msgspec.json.encode(task).decode())
        process = None
        with trio.move_on_after(MAX_SECONDS):
            process = await trio.run_process(
                command, capture_stdout=True, capture_stderr=True, check=False
            )
        if process is None:
            title = installed.peer.TITLE
            raise WrongAnswerError(f"{title} did not end within {MAX_SECONDS:g} seconds")
        if process.returncode:
            lines = process.stderr.decode().strip().splitlines() or ["no message"]
            raise WrongAnswerError(f"{installed.peer.TITLE} failed: {lines[-1]}")
        await trio.to_thread.run_sync(check, installed.peer, Path(task.database), held)
    return msgspec.json.decode(process.stdout, type=PeerResult)


def check(peer: Peer, database: Path, held: PeerProperty) -> None:
    """Compare every row with what the server holds.

    Raises:
        WrongAnswerError: there is one more, one less, or another.
    """
    with closing(sqlite3.connect(database)) as connection:
        seen = 0
        rows = connection.execute(f"SELECT * FROM ({peer.SELECT}) ORDER BY 1")
        for date, of_day in groupby(rows, key=lambda row: str(row[0])):
            stored: Counter[StoredRow] = Counter(stored_row(*row) for row in of_day)
            if stored != held.expected.get(date):
                raise WrongAnswerError(f"{peer.TITLE} stored other rows of {date} than there are")
            seen += stored.total()
    if seen != held.workload.rows:
        raise WrongAnswerError(f"{peer.TITLE} stored {seen:,} of {held.workload.rows:,} rows")


def _fake(held: PeerProperty, model: LatencyModel) -> FakeServerOptions:
    return FakeServerOptions(
        host="127.0.0.1",
        port=0,
        site=held.workload.query.site_url,
        rows_per_day=0,
        rows_on_the_first=0,
        latency_scale=model.scale,
        # Runs follow each other more quickly than a minute; a run is within the quota by itself.
        queries_per_minute=1_000_000,
        seed=0,
        latency_jitter=0,
        seconds_per_call=model.seconds_per_call,
        seconds_per_row=model.seconds_per_row,
        parallel_parts=model.parallel_parts,
        cassette=held.workload.path,
    )
