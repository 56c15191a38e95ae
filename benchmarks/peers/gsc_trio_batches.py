"""gsc-trio with batches of its default size."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

import trio

from benchmarks.peers.peer import BATCH_SIZE, PeerTask
from gsc_trio import (
    SearchAnalyticsQuery,
    Settings,
    backfill,
    open_search_console,
    open_sqlite_store,
)
from gsc_trio.dates import FINAL_LAG_DAYS

TITLE = f"gsc-trio, batches of {BATCH_SIZE}"
WRITES = "its store: WAL, synchronous=FULL, a commit a page with its ledger entry"
REQUIRES = ("gsc-trio",)
IS_CONCURRENT = True
SENDS_BATCHES = True
SELECT = (
    "SELECT data_date, page, query, clicks, impressions, sum_position / impressions + 1 "
    "FROM search_analytics_by_page_query"
)


def prepare(task: PeerTask) -> Callable[[], None]:
    """Build nothing."""
    return partial(copy, task, batch_size=BATCH_SIZE)


def copy(task: PeerTask, *, batch_size: int) -> None:
    """Copy all days, with as many workers as the task is wide."""
    trio.run(_copy, task, batch_size)


async def _copy(task: PeerTask, batch_size: int) -> None:
    settings = Settings(api_root=task.api_root, max_concurrency=task.width, batch_size=batch_size)
    query = SearchAnalyticsQuery(
        task.site_url, dimensions=task.dimensions, row_limit=task.row_limit
    )
    async with open_search_console(settings) as client, open_sqlite_store(task.database) as store:
        summary = await backfill(
            client,
            query,
            store,
            start=task.start,
            end=task.end,
            today=task.end + dt.timedelta(days=FINAL_LAG_DAYS),
        )
    if summary.status != "complete":
        raise RuntimeError(f"the run did not complete: {summary.reason}")
