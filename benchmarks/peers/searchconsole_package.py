"""``searchconsole`` from PyPI, with pandas, as its documentation shows it: a query for each day.

Its ``get`` asks for pages until one is empty, so a day takes one call more than it has pages. The
account is made of its own parts, because its ``authenticate`` knows no other address than Google's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from searchconsole.account import Account

from benchmarks.peers.google_client import build_service
from benchmarks.peers.peer import PeerTask

TITLE = "searchconsole"
WRITES = "its to_dataframe, pandas to_sql (append), a commit a day"
REQUIRES = ("searchconsole", "pandas")
IS_CONCURRENT = False
SENDS_BATCHES = False
SELECT = "SELECT date, page, query, clicks, impressions, position FROM search_analytics"


def prepare(task: PeerTask) -> Callable[[], None]:
    """Find the property once."""
    web_property = Account(build_service(task.api_root), credentials=None)[task.site_url]

    def copy() -> None:
        with closing(sqlite3.connect(task.database)) as connection:
            for day in task.days():
                query = web_property.query.range(day, day).dimension(*task.dimensions)
                report = query.get()
                if report.rows:
                    frame = report.to_dataframe()
                    frame.insert(0, "date", day.isoformat())
                    frame.to_sql("search_analytics", connection, if_exists="append", index=False)

    return copy
