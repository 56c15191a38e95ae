"""A day's second page that another session than the first one's writes: as after a take-over."""

from __future__ import annotations

import datetime as dt
import time

from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.postgres.store import open_postgres_store

QUERY = SearchAnalyticsQuery("sc-domain:example.com", dimensions=("page", "query"))
ROWS = 12_500


def page(start_row: int) -> Page:
    rows = [
        Row(("https://example.com/", f"query {number}"), 1.0, 2.0, 3.0)
        for number in range(start_row, start_row + ROWS)
    ]
    return Page(Job(dt.date(2026, 6, 1), start_row), rows, ROWS, content_bytes=ROWS * 200)


async def test_it_is_compared_with_the_first_in_no_time(postgres_address: str) -> None:
    async with open_postgres_store(postgres_address) as first:
        await first.write_pages(QUERY, [page(0)], InFlightChanges())
    async with open_postgres_store(postgres_address) as second:
        began = time.monotonic()
        await second.write_pages(QUERY, [page(ROWS)], InFlightChanges())
        # Each with each, it took fifty times as long.
        assert time.monotonic() - began < 5
