"""One backfill in a process of its own (``python -m benchmarks.client TASK``), and what it took.

A process for each run, so that none inherits memory, caches or threads of the one before. Time is
taken from the plan until the database is closed, all commits included; opening the database and
starting Python are not in it.
"""

from __future__ import annotations

import datetime as dt
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import trio
from trio_util import periodic

from gsc_trio import (
    SearchAnalyticsQuery,
    Settings,
    Store,
    backfill,
    open_search_console,
    open_sqlite_store,
)
from gsc_trio.cli.interpreter import set_up_interpreter
from gsc_trio.dates import FINAL_LAG_DAYS
from gsc_trio.telemetry.instrument import Instrument

LOOK_SECONDS = 0.005
"""How often the event loop is looked at."""


class ClientTask(msgspec.Struct):
    """What to fetch, from where, how."""

    api_root: str
    database: str
    """A path, or the address of a Postgres database."""
    site_url: str
    search_type: str
    dimensions: tuple[str, ...]
    data_state: str
    row_limit: int
    start: dt.date
    end: dt.date
    max_concurrency: int
    batch_size: int
    queries_per_minute: int
    watches_event_loop: bool = False
    """Whether to measure how late the event loop is; that takes a little time itself."""
    telemetry: str | None = None
    """One of `benchmarks.watched.MODES`; by default there are no instruments."""


class ClientResult(msgspec.Struct):
    """What came out."""

    status: str
    reason: str
    rows: int
    seconds: float
    cpu_seconds: float
    """Of the process and its children, from beginning to end of the time above."""
    lag_seconds: list[float]
    """By how much the event loop was late, each time that it was looked at; in rising order."""


async def run(task: ClientTask) -> ClientResult:
    """Do it."""
    settings = Settings(
        api_root=task.api_root,
        max_concurrency=task.max_concurrency,
        batch_size=task.batch_size,
        queries_per_minute=task.queries_per_minute,
    )
    query = SearchAnalyticsQuery(
        task.site_url, task.search_type, task.dimensions, task.data_state, task.row_limit
    )
    lag_seconds: list[float] = []
    async with (
        _instruments(task, settings) as instruments,
        open_search_console(settings, instruments=instruments) as client,
        trio.open_nursery() as nursery,
    ):
        if task.watches_event_loop:
            nursery.start_soon(_watch_event_loop, lag_seconds)
        async with _open_store(task.database) as store:
            began, cpu_before = time.perf_counter(), _cpu_seconds()
            summary = await backfill(
                client,
                query,
                store,
                start=task.start,
                end=task.end,
                today=task.end + dt.timedelta(days=FINAL_LAG_DAYS),
                instruments=instruments,
            )
        seconds = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return ClientResult(
        status=summary.status,
        reason=summary.reason,
        rows=summary.rows,
        seconds=seconds,
        cpu_seconds=_cpu_seconds() - cpu_before,
        lag_seconds=sorted(lag_seconds),
    )


def _open_store(database: str) -> AbstractAsyncContextManager[Store]:
    if "://" not in database:
        return open_sqlite_store(database)
    from gsc_trio.store.postgres.store import open_postgres_store  # needs psycopg

    return open_postgres_store(database)


@asynccontextmanager
async def _instruments(task: ClientTask, settings: Settings) -> AsyncIterator[list[Instrument]]:
    if task.telemetry is None:
        yield []
        return
    from benchmarks.watched import watched  # OpenTelemetry is for those who ask

    with watched(task.telemetry, settings) as instruments:
        yield instruments


async def _watch_event_loop(lag_seconds: list[float]) -> None:
    async for _ in periodic(LOOK_SECONDS):
        began = time.perf_counter()
        await trio.sleep(LOOK_SECONDS)
        lag_seconds.append(time.perf_counter() - began - LOOK_SECONDS)


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    set_up_interpreter()  # as the command does
    result = trio.run(run, msgspec.json.decode(sys.argv[1], type=ClientTask))
    print(msgspec.json.encode(result).decode())
