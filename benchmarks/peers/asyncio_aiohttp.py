"""asyncio with aiohttp and aiolimiter: as many requests at a time as there are connections.

A task fetches a day with all its pages and writes it, in a thread, one day at a time.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sqlite3
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.peers import google_loop
from benchmarks.peers.google_loop import CREATE, INSERT, values_of
from benchmarks.peers.peer import PeerTask

TITLE = "asyncio, aiohttp, aiolimiter"
WRITES = "sqlite3 as it comes, in a thread, executemany by key, a commit a day"
REQUIRES = ("aiohttp", "aiolimiter")
IS_CONCURRENT = True
SENDS_BATCHES = False
SELECT = google_loop.SELECT
QUERIES_PER_MINUTE = 1_200


def prepare(task: PeerTask) -> Callable[[], None]:
    """Build nothing."""

    def copy() -> None:
        asyncio.run(copy_all(task))

    return copy


async def copy_all(task: PeerTask) -> None:
    """Copy all days."""
    path = f"/webmasters/v3/sites/{quote(task.site_url, safe='')}/searchAnalytics/query"
    limiter, at_a_time = AsyncLimiter(QUERIES_PER_MINUTE, 60), asyncio.Semaphore(task.width)
    writing = asyncio.Lock()
    connection = sqlite3.connect(task.database, check_same_thread=False)
    connection.execute(CREATE)

    def write(day: dt.date, rows: list[dict[str, Any]]) -> None:
        with connection:
            connection.executemany(INSERT, values_of(day.isoformat(), rows))

    async with aiohttp.ClientSession(
        task.api_root, headers={"Authorization": "Bearer benchmark"}
    ) as session:

        async def copy_day(day: dt.date) -> None:
            rows: list[dict[str, Any]] = []
            async with at_a_time:
                is_last = False
                while not is_last:
                    async with (
                        limiter,
                        session.post(path, json=task.body(day, len(rows))) as response,
                    ):
                        response.raise_for_status()
                        page = (await response.json()).get("rows", [])
                    rows += page
                    is_last = len(page) < task.row_limit
            async with writing:
                await asyncio.to_thread(write, day, rows)

        async with asyncio.TaskGroup() as group:
            for day in task.days():
                group.create_task(copy_day(day))
    connection.close()
