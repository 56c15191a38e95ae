"""A day of a quota that is shared with a stranger, in virtual time.

The stranger spends the same site's quota: some hours not at all, some steadily, some in bursts, and
now and then all of it for ten minutes on end. Google refuses whatever comes when it is used up.
"""

from __future__ import annotations

import datetime as dt
import random
from bisect import bisect_right
from collections.abc import Sequence

import attrs
import trio

from gsc_trio.backfill import fetch_all
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.quota_window import CLOCK_DRIFT
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import Event, QuotaPaused
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    Quota,
    SimulatedProperty,
    open_streaming_transport,
    run_in_virtual_time,
)

SITE = "sc-domain:example.com"
STRANGER = "a stranger"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
DAYS = 480
HOUR = 3_600.0
WINDOW_SECONDS = 60.0
LATENCY_SECONDS = 0.2
MANNERS = ("quiet", "steady", "bursts", "greedy")


@attrs.frozen
class SharedQuotaReport:
    """What a day was like."""

    hours: int
    queries: int
    """Queries of ours that arrived."""
    refused: int
    """Of ours, how many were refused."""
    peak_queries_per_minute: int
    """The most of ours in any 60 seconds."""
    longest_gap_seconds: float
    """Between two arrivals of ours."""
    unexplained_stall_seconds: float
    """By how much a gap was longer than the pause, or the window, that caused it; at worst."""
    quiet_use: float
    """Share of the quota that was used in hours in which nobody else did."""
    pauses: int
    summary: RunSummary


@attrs.define(eq=False)
class _Watch(Quota):
    """The server's quota, which remembers when ours arrived; and an instrument for pauses."""

    arrivals: list[float] = attrs.field(factory=list, init=False)
    refused_arrivals: int = 0
    pauses: list[tuple[float, float]] = attrs.field(factory=list, init=False)

    def admit(self, site_url: str, user: str) -> bool:
        is_within = super().admit(site_url, user)
        if user != STRANGER:
            self.arrivals.append(trio.current_time())
            self.refused_arrivals += not is_within
        return is_within

    def handle(self, event: Event) -> None:
        if isinstance(event, QuotaPaused):
            self.pauses.append((trio.current_time(), event.seconds))


async def _be_strange(watch: _Watch, chance: random.Random, manners: Sequence[str]) -> None:
    """Spend the site's quota, hour by hour in another manner."""
    limit = watch.queries_per_minute
    for manner in manners:
        end = trio.current_time() + HOUR
        while trio.current_time() < end:
            if manner == "quiet":
                await trio.sleep_until(end)
            elif manner == "steady":
                await trio.sleep(120 / limit)
                watch.admit(SITE, STRANGER)
            elif manner == "bursts":
                await trio.sleep(chance.expovariate(1 / 300))
                for _ in range(limit):
                    watch.admit(SITE, STRANGER)
            else:
                await _take_everything(watch, seconds=600)
                await trio.sleep(1_200)


async def _take_everything(watch: _Watch, *, seconds: float) -> None:
    with trio.move_on_after(seconds):
        while True:
            await trio.sleep(60 / watch.queries_per_minute)
            watch.admit(SITE, STRANGER)
            watch.admit(SITE, STRANGER)


def shared_quota_day(
    *, queries_per_minute: int, hours: int, max_concurrency: int, seed: int = 0
) -> SharedQuotaReport:
    """Run for so many hours of virtual time, and look back.

    Args:
        queries_per_minute: the quota.
        hours: how long it goes on; the stranger's manners change by the hour.
        max_concurrency: how many workers.
        seed: what the stranger's bursts follow from.
    """
    chance = random.Random(seed)
    watch = _Watch(queries_per_minute=queries_per_minute)
    manners = [MANNERS[hour % len(MANNERS)] for hour in range(hours)]
    pages_a_day = 2 + queries_per_minute * 60 * hours // DAYS
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_by_day={_day(n): pages_a_day for n in range(DAYS)})],
        quota=watch,
        latency=Latency(seconds_per_call=LATENCY_SECONDS, seconds_per_row=0, parallel_parts=True),
    )

    async def run() -> RunSummary:
        switch = HaltSwitch()
        settings = Settings(
            max_concurrency=max_concurrency, batch_size=10, queries_per_minute=queries_per_minute
        )
        async with (
            open_streaming_transport(fake) as transport,
            open_search_console(settings, transport=transport, instruments=[watch]) as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_be_strange, watch, chance, manners)
            nursery.start_soon(_halt_after, hours * HOUR, switch)
            summary = await fetch_all(
                client,
                SearchAnalyticsQuery(SITE, row_limit=1),
                start=_day(DAYS - 1),
                end=END,
                halt_switch=switch,
                today=TODAY,
            )
            nursery.cancel_scope.cancel()
        return summary

    summary = run_in_virtual_time(run)
    return _look_back(watch, manners, summary)


async def _halt_after(seconds: float, switch: HaltSwitch) -> None:
    await trio.sleep(seconds)
    switch.request(Halt("the day is over", status="interrupted"))


def _day(number: int) -> dt.date:
    return END - dt.timedelta(days=number)


def _look_back(watch: _Watch, manners: Sequence[str], summary: RunSummary) -> SharedQuotaReport:
    arrivals = watch.arrivals
    gaps = list(zip(arrivals, [*arrivals[1:], len(manners) * HOUR], strict=True))
    quiet = [number for number, manner in enumerate(manners) if manner == "quiet"]
    used = sum(_between(arrivals, hour * HOUR, (hour + 1) * HOUR) for hour in quiet)
    return SharedQuotaReport(
        hours=len(manners),
        queries=len(arrivals),
        refused=watch.refused_arrivals,
        peak_queries_per_minute=max(
            _between(arrivals, first, first + WINDOW_SECONDS) for first in arrivals
        ),
        longest_gap_seconds=max(end - begin for begin, end in gaps),
        unexplained_stall_seconds=max(end - _explained(watch, begin, end) for begin, end in gaps),
        quiet_use=used / (watch.queries_per_minute * 60 * len(quiet)),
        pauses=len(watch.pauses),
        summary=summary,
    )


def _between(arrivals: Sequence[float], begin: float, end: float) -> int:
    """How many arrived from begin on and before end."""
    return bisect_right(arrivals, end - 1e-9) - bisect_right(arrivals, begin - 1e-9)


def _explained(watch: _Watch, begin: float, end: float) -> float:
    """Until when nothing could be sent after an arrival.

    Permits come back a window after the answer; a pause that began after it (its refusal was on
    its way) keeps everyone waiting until its end.
    """
    window = begin + LATENCY_SECONDS + WINDOW_SECONDS * CLOCK_DRIFT
    number = bisect_right(watch.pauses, (end, 0.0))
    pauses = (began + seconds for began, seconds in watch.pauses[max(0, number - 3) : number])
    return max([window, *pauses])
