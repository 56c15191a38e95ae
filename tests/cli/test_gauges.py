from __future__ import annotations

import datetime as dt

import trio.testing

from gsc_trio.cli.gauges import QuotaGauge, RowRate
from gsc_trio.model import Job, Page, Row
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.events import PageCommitted, QuotaUsed
from gsc_trio.telemetry.instrument import Instruments


async def test_rows_per_second_are_those_of_the_last_ten_seconds(
    mock_clock: trio.testing.MockClock,
) -> None:
    rate = RowRate()
    page = Page(Job(dt.date(2026, 1, 1)), [Row()] * 40, 100, content_bytes=1)
    rate.handle(PageCommitted(page))
    mock_clock.jump(4)
    rate.handle(PageCommitted(page))
    assert rate.read(4.0) == 20
    mock_clock.jump(7)
    assert rate.read(11.0) == 4
    mock_clock.jump(4)
    assert rate.read(15.0) == 0


async def test_before_anything_was_sent_there_is_no_limit_to_show() -> None:
    assert QuotaGauge().read() == (0, 0)


async def test_the_limit_that_is_nearest_to_be_reached_counts() -> None:
    gauge = QuotaGauge()
    for key, used, limit in ("user token", 500, 1_200), ("project", 30_100, 40_000):
        gauge.handle(QuotaUsed(key, used, limit))
    assert gauge.read() == (30_100, 40_000)


async def test_what_is_used_falls_when_nothing_more_is_sent(
    mock_clock: trio.testing.MockClock,
) -> None:
    gauge = QuotaGauge()
    limiter = RateLimiter(instruments=Instruments([gauge]))
    for queries in (100, 50):
        with await limiter.acquire("token", "site", queries) as grant:
            grant.mark_sent(queries)
            grant.settle(queries)
        mock_clock.jump(30)
    assert gauge.read() == (150, 1_200)
    mock_clock.jump(1)
    assert gauge.read() == (50, 1_200)
    mock_clock.jump(30)
    assert gauge.read()[0] == 0
