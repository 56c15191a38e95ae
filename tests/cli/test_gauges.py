from __future__ import annotations

import datetime as dt

import pytest
import trio.testing

from gsc_trio.cli.gauges import QuotaGauge, RowRate
from gsc_trio.model import Job, Page, Row
from gsc_trio.summary import RunMeter
from gsc_trio.telemetry.events import Event, PageCommitted, QuotaUsed, RequestSent


async def test_rows_per_second_are_those_of_the_last_ten_seconds(
    mock_clock: trio.testing.MockClock,
) -> None:
    rate = RowRate()
    page = Page(Job(dt.date(2026, 1, 1)), [Row()] * 40, 100, content_bytes=1)
    rate.handle(PageCommitted(page, 0.1))
    mock_clock.jump(4)
    rate.handle(PageCommitted(page, 0.1))
    assert rate.read(4.0) == 20
    mock_clock.jump(7)
    assert rate.read(11.0) == 4
    mock_clock.jump(4)
    assert rate.read(15.0) == 0


class Quota:
    """A gauge and its meter."""

    def __init__(self) -> None:
        self.meter = RunMeter()
        self.gauge = QuotaGauge(self.meter)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.meter.handle(event)
            self.gauge.handle(event)


async def test_before_anything_was_sent_there_is_no_limit_to_show() -> None:
    assert Quota().gauge.read() == (0, 0)


async def test_the_limit_that_is_nearest_to_be_reached_counts() -> None:
    quota = Quota()
    quota.tell(QuotaUsed("user token", 500, 1_200), QuotaUsed("project", 30_100, 40_000))
    assert quota.gauge.read() == (30_100, 40_000)


@pytest.mark.parametrize("others", [0, 300])
async def test_what_is_used_falls_when_nothing_more_is_sent(
    others: int, mock_clock: trio.testing.MockClock
) -> None:
    quota = Quota()
    quota.tell(QuotaUsed("site", 100 + others, 1_200), RequestSent(100, is_batch=True))
    mock_clock.jump(30)
    quota.tell(QuotaUsed("site", 150 + others, 1_200), RequestSent(50, is_batch=True))
    assert quota.gauge.read() == (150 + others, 1_200)
    mock_clock.jump(31)
    assert quota.gauge.read() == (50 + others, 1_200)
    mock_clock.jump(30)
    assert quota.gauge.read() == (0, 1_200)
