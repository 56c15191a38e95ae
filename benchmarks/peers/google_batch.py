"""google-api-python-client's batches (BatchHttpRequest): many calls in an HTTP request."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from benchmarks.peers import google_loop
from benchmarks.peers.google_client import build_service
from benchmarks.peers.google_loop import CREATE, INSERT, values_of
from benchmarks.peers.peer import BATCH_SIZE, PeerTask

TITLE = f"google-api-python-client, batches of {BATCH_SIZE}"
WRITES = "sqlite3 as it comes, executemany by key, a commit a batch"
REQUIRES = ("google-api-python-client",)
IS_CONCURRENT = False
SENDS_BATCHES = True
SELECT = google_loop.SELECT


def prepare(task: PeerTask) -> Callable[[], None]:
    """Build the service once."""
    service = build_service(task.api_root)

    def fetch(calls: list[tuple[dt.date, int]]) -> dict[tuple[dt.date, int], list[dict[str, Any]]]:
        answers: dict[tuple[dt.date, int], list[dict[str, Any]]] = {}

        def note(request_id: str, response: Any, exception: Exception | None) -> None:
            if exception is not None:
                raise exception
            answers[calls[int(request_id)]] = response.get("rows", [])

        batch = service.new_batch_http_request(callback=note)
        for number, (day, start_row) in enumerate(calls):
            request = service.searchanalytics().query(
                siteUrl=task.site_url, body=task.body(day, start_row)
            )
            batch.add(request, request_id=str(number))
        batch.execute()
        return answers

    def copy() -> None:
        with closing(sqlite3.connect(task.database)) as connection:
            connection.execute(CREATE)
            calls = [(day, 0) for day in task.days()]
            while calls:
                answers = fetch(calls[:BATCH_SIZE])
                del calls[:BATCH_SIZE]
                with connection:
                    for (day, start_row), rows in answers.items():
                        connection.executemany(INSERT, values_of(day.isoformat(), rows))
                        if len(rows) == task.row_limit:
                            calls.append((day, start_row + len(rows)))

    return copy
