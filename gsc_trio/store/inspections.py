"""The table of URL inspections: one row for each time that a URL was inspected.

Responsible for: its SQL. Must never: begin or end a transaction; the store does.
"""

from __future__ import annotations

import datetime as dt
import json

from gsc_trio.store.schema import INSPECTION_TABLE
from gsc_trio.store.sql import SqlConnection, clock_text
from gsc_trio.wire.inspection import Inspection

_COLUMNS = (
    "site_url",
    "inspection_url",
    "inspected_at",
    "verdict",
    "coverage_state",
    "robots_txt_state",
    "indexing_state",
    "page_fetch_state",
    "last_crawl_time",
    "google_canonical",
    "user_canonical",
    "crawled_as",
    "sitemaps",
    "referring_urls",
    "result",
)


def write_inspection(connection: SqlConnection, inspection: Inspection) -> None:
    """Enter an inspection; the same one entered twice is there once."""
    status = inspection.status
    values = (
        inspection.site_url,
        inspection.inspection_url,
        clock_text(inspection.inspected_at),
        status.verdict,
        status.coverage_state,
        status.robots_txt_state,
        status.indexing_state,
        status.page_fetch_state,
        status.last_crawl_time,
        status.google_canonical,
        status.user_canonical,
        status.crawled_as,
        json.dumps(status.sitemap, ensure_ascii=False),
        json.dumps(status.referring_urls, ensure_ascii=False),
        inspection.result,
    )
    placeholders = ", ".join("?" * len(_COLUMNS))
    again = ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[3:])
    connection.execute(
        f"INSERT INTO {INSPECTION_TABLE} ({', '.join(_COLUMNS)}) VALUES ({placeholders}) "
        f"ON CONFLICT ({', '.join(_COLUMNS[:3])}) DO UPDATE SET {again}",
        values,
    )


def last_inspections(connection: SqlConnection, site_url: str) -> dict[str, dt.datetime]:
    """When each URL of a property was last inspected, in UTC."""
    found = connection.execute(
        f"SELECT inspection_url, max(inspected_at) FROM {INSPECTION_TABLE} "
        "WHERE site_url = ? GROUP BY inspection_url",
        (site_url,),
    )
    return {url: dt.datetime.fromisoformat(time) for url, time in found}


def count_inspections(connection: SqlConnection, site_url: str, since: dt.datetime) -> int:
    """How many inspections of a property there were since a time."""
    [count] = connection.execute(
        f"SELECT count(*) FROM {INSPECTION_TABLE} WHERE site_url = ? AND inspected_at >= ?",
        (site_url, clock_text(since)),
    ).fetchone()
    return int(count)
