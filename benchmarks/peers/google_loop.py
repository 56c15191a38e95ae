"""google-api-python-client in a plain loop: a call, its rows into SQLite, the next call."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from benchmarks.peers.google_client import build_service
from benchmarks.peers.peer import PeerTask

TITLE = "google-api-python-client, a loop"
WRITES = "sqlite3 as it comes, executemany by key, a commit a page"
REQUIRES = ("google-api-python-client",)
IS_CONCURRENT = False
SENDS_BATCHES = False
SELECT = "SELECT date, page, query, clicks, impressions, position FROM search_analytics"

CREATE = """
CREATE TABLE IF NOT EXISTS search_analytics (
    date TEXT, page TEXT, query TEXT, clicks INTEGER, impressions INTEGER, position REAL,
    PRIMARY KEY (date, page, query)
)
"""
INSERT = "INSERT OR REPLACE INTO search_analytics VALUES (?, ?, ?, ?, ?, ?)"


def values_of(day: str, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows as the table wants them."""
    return [
        (day, *row["keys"], row["clicks"], row["impressions"], row.get("position")) for row in rows
    ]


def prepare(task: PeerTask) -> Callable[[], None]:
    """Build the service once."""
    service = build_service(task.api_root)

    def copy() -> None:
        with closing(sqlite3.connect(task.database)) as connection:
            connection.execute(CREATE)
            for day in task.days():
                start_row, is_last = 0, False
                while not is_last:
                    request = service.searchanalytics().query(
                        siteUrl=task.site_url, body=task.body(day, start_row)
                    )
                    rows = request.execute().get("rows", [])
                    with connection:
                        connection.executemany(INSERT, values_of(day.isoformat(), rows))
                    start_row += len(rows)
                    is_last = len(rows) < task.row_limit

    return copy
