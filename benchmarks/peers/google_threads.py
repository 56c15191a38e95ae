"""google-api-python-client in a pool of threads: what a user would write to be faster.

A thread fetches a day with all its pages; the main thread writes days as they come.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from typing import Any

from benchmarks.peers import google_loop
from benchmarks.peers.google_client import build_service
from benchmarks.peers.google_loop import CREATE, INSERT, values_of
from benchmarks.peers.peer import PeerTask

TITLE = "google-api-python-client, threads"
WRITES = "sqlite3 as it comes, in the main thread, executemany by key, a commit a day"
REQUIRES = ("google-api-python-client",)
IS_CONCURRENT = True
SENDS_BATCHES = False
SELECT = google_loop.SELECT


def prepare(task: PeerTask) -> Callable[[], None]:
    """Build nothing: each thread needs a service of its own, since httplib2 is not thread-safe."""
    own = threading.local()

    def build_own() -> None:
        own.service = build_service(task.api_root)

    def fetch(day: dt.date) -> tuple[str, list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        while True:
            request = own.service.searchanalytics().query(
                siteUrl=task.site_url, body=task.body(day, len(rows))
            )
            page = request.execute().get("rows", [])
            rows += page
            if len(page) < task.row_limit:
                return day.isoformat(), rows

    def copy() -> None:
        with (
            closing(sqlite3.connect(task.database)) as connection,
            ThreadPoolExecutor(task.width, initializer=build_own) as pool,
        ):
            connection.execute(CREATE)
            for future in as_completed([pool.submit(fetch, day) for day in task.days()]):
                with connection:
                    connection.executemany(INSERT, values_of(*future.result()))

    return copy
