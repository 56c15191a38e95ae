"""A measured run: the client as a child process, its memory sampled from outside, its work checked.

Whatever does not complete, or stores anything but what the cassette holds, is a failure: no figure
comes of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import attrs
import msgspec
import psutil
import trio
from trio_util import periodic

from benchmarks.client import ClientResult, ClientTask
from benchmarks.comparison import Content, content_of
from benchmarks.machine import seconds_of_waiting_for_a_core
from benchmarks.workload import Workload
from gsc_trio.errors import GscTrioError

SAMPLE_SECONDS = 0.2
"""Looking for the client's children reads all of /proc: this often, it takes 1 % of a core."""

MAX_SECONDS = 1_800.0
"""A run that takes longer hangs."""

_PROJECT = Path(__file__).parent.parent


class WrongAnswerError(GscTrioError):
    """What was stored is not what it should be."""


@attrs.frozen
class MemorySample:
    """The client's resident memory, its children included."""

    seconds: float
    """Since the process began."""
    megabytes: float


@attrs.frozen
class Measurement:
    """One run."""

    seconds: float
    """From the plan until the database was closed."""
    cpu_seconds: float
    waiting_share: float
    """In what share of the time something on the machine waited for a core."""
    content: Content
    """What was in the database then."""
    memory: list[MemorySample] = attrs.field(repr=False)
    lag_seconds: list[float] = attrs.field(repr=False)
    """By how much the event loop was late, in rising order; empty if nobody looked."""

    @property
    def peak_megabytes(self) -> float:
        """The most memory that was seen."""
        return max((sample.megabytes for sample in self.memory), default=0.0)


async def measure(
    workload: Workload,
    api_root: str,
    *,
    max_concurrency: int,
    batch_size: int,
    queries_per_minute: int,
    watches_event_loop: bool = False,
    telemetry: str | None = None,
) -> Measurement:
    """Backfill a workload into a fresh database, which is looked at and removed.

    Args:
        workload: what to fetch.
        api_root: where it is served.
        max_concurrency: 1 for the sequential path.
        batch_size: queries in an HTTP request.
        queries_per_minute: the client's limit.
        watches_event_loop: whether the client measures how late its event loop is.
        telemetry: one of `benchmarks.watched.MODES`, or None for no instruments.

    Raises:
        WrongAnswerError: the run did not complete, or stored other rows than the cassette holds.
    """
    with tempfile.TemporaryDirectory(prefix="gsc-trio-benchmark-") as folder:
        database = Path(folder, "run.db")
        query = workload.query
        task = ClientTask(
            api_root=api_root,
            database=str(database),
            site_url=query.site_url,
            search_type=query.search_type,
            dimensions=query.dimensions,
            data_state=query.data_state,
            row_limit=query.row_limit,
            start=workload.start,
            end=workload.end,
            max_concurrency=max_concurrency,
            batch_size=batch_size,
            queries_per_minute=queries_per_minute,
            watches_event_loop=watches_event_loop,
            telemetry=telemetry,
        )
        waited_before, began = seconds_of_waiting_for_a_core(), time.perf_counter()
        result, memory = await run_client(task)
        waited = seconds_of_waiting_for_a_core() - waited_before
        waiting_share = waited / (time.perf_counter() - began)
        if result.status != "complete":
            raise WrongAnswerError(f"the run did not complete: {result.reason}")
        content = await trio.to_thread.run_sync(content_of, database, query.dimensions)
    if not content.rows == result.rows == workload.rows:
        raise WrongAnswerError(
            f"{content.rows:,} rows are stored and {result.rows:,} were counted; "
            f"the cassette holds {workload.rows:,}"
        )
    return Measurement(
        seconds=result.seconds,
        cpu_seconds=result.cpu_seconds,
        waiting_share=waiting_share,
        content=content,
        memory=memory,
        lag_seconds=result.lag_seconds,
    )


async def run_client(task: ClientTask) -> tuple[ClientResult, list[MemorySample]]:
    """Run a task in a process of its own.

    Raises:
        WrongAnswerError: it failed, or does not end.
    """
    command = [sys.executable, "-m", "benchmarks.client", msgspec.json.encode(task).decode()]
    memory: list[MemorySample] = []
    with trio.move_on_after(MAX_SECONDS) as limit:
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process, command, stdout=subprocess.PIPE, check=False, cwd=_PROJECT
                )
            )
            nursery.start_soon(_sample_memory, process.pid, memory)
            output = b""
            if process.stdout is not None:
                async for chunk in process.stdout:
                    output += chunk
            await process.wait()
            nursery.cancel_scope.cancel()
    if limit.cancelled_caught:
        raise WrongAnswerError(f"the client did not end within {MAX_SECONDS:g} seconds")
    if process.returncode != 0:
        raise WrongAnswerError(f"the client failed with exit code {process.returncode}")
    return msgspec.json.decode(output, type=ClientResult), memory


async def _sample_memory(pid: int, samples: list[MemorySample]) -> None:
    """Note the memory of a process and its children until they are gone."""
    async for elapsed, _ in periodic(SAMPLE_SECONDS):
        try:
            client = psutil.Process(pid)
            family = [client, *client.children(recursive=True)]
            resident = sum(process.memory_info().rss for process in family)
        except psutil.Error:
            continue  # one of them ended while we looked
        if resident:
            samples.append(MemorySample(round(elapsed, 2), round(resident / 1e6, 1)))
