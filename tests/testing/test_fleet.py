"""A small fleet: the real thing is `python -m benchmarks.fleet`."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from gsc_trio.errors import FencedError
from gsc_trio.machine_clock import Moment
from gsc_trio.model import InFlightChanges, Job, Page, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.testing.fleet import END, FleetScenario, pages_of, run_fleet
from gsc_trio.testing.fleet_database import (
    FULL_PAGE_ROWS,
    STALE_SECONDS,
    FleetDatabase,
    FleetStore,
    Machine,
    Shard,
)

SMALL = FleetScenario(
    properties=24,
    days=45,
    users=4,
    machines=3,
    slots=2,
    kills=2,
    stops=2,
    stop_seconds=60.0,
    trouble_seconds=300.0,
    downtime_seconds=30.0,
    max_concurrency=4,
    batch_size=10,
    queries_per_minute=60,
    project_queries_per_minute=240,
)
EASY = attrs.evolve(SMALL, kills=0, stops=0)


def pages(scenario: FleetScenario) -> int:
    days = (scenario.start.toordinal() + number for number in range(scenario.days))
    return scenario.properties * sum(
        pages_of(scenario.start.fromordinal(ordinal)) for ordinal in days
    )


@pytest.mark.parametrize("parallel_parts", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kills_stops_and_take_overs_lose_nothing_and_double_nothing_within_all_limits(
    seed: int, parallel_parts: bool
) -> None:
    report = run_fleet(attrs.evolve(SMALL, seed=seed, parallel_parts=parallel_parts))
    assert (report.wrong_days, report.committed_again) == (0, 0)
    assert report.pages == pages(SMALL)
    assert report.take_overs >= 2
    assert report.refused == 0
    assert (report.peak_user, report.peak_project) == (60, 240)
    # What was on its way when a machine died is fetched once more, and no more.
    in_flight = 2 * SMALL.batch_size * SMALL.max_concurrency
    assert report.queries - report.pages <= report.take_overs * in_flight


def test_without_trouble_nobody_is_taken_over_and_the_quota_is_used() -> None:
    report = run_fleet(EASY)
    assert (report.take_overs, report.fenced, report.refused) == (0, 0, 0)
    assert report.queries == report.pages == pages(EASY)
    assert report.project_use >= 0.95


def test_a_seed_is_a_fleet() -> None:
    assert run_fleet(SMALL) == run_fleet(SMALL)


async def test_who_was_silent_is_taken_over_and_writes_nothing_any_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    site, day = "sc-domain:a.example", END
    database = FleetDatabase([Shard("me", [site])], day, day)
    first = database.claim("first")
    assert first is not None
    assert database.claim("second") is None
    await trio.sleep(STALE_SECONDS + 1)
    second = database.claim("second")
    assert second is not None
    assert (second.token, database.take_overs) == (2, 1)
    query, page = SearchAnalyticsQuery(site), Page(Job(day), [], FULL_PAGE_ROWS, 1)
    with pytest.raises(FencedError):
        await FleetStore(database, Machine("first"), first).write_pages(
            query, [page], InFlightChanges()
        )
    assert (database.pages, database.wrong_days(lambda _: 1)) == (0, 1)
    store = FleetStore(database, Machine("second"), second)
    await store.write_pages(query, [page], InFlightChanges())
    assert (database.wrong_days(lambda _: 1), database.committed_again) == (0, 0)
    await store.write_pages(query, [page], InFlightChanges())
    assert (database.wrong_days(lambda _: 1), database.committed_again) == (1, 1)


def test_without_the_journal_a_take_over_goes_over_the_quota(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def forget(self: QuotaJournal) -> None:
        await trio.lowlevel.checkpoint()

    monkeypatch.setattr(QuotaJournal, "restore", forget)
    reports = [run_fleet(attrs.evolve(SMALL, seed=seed)) for seed in (1, 2, 3)]
    assert any(report.refused for report in reports)
    assert any(report.peak_user > SMALL.queries_per_minute for report in reports)


def test_who_is_stopped_before_it_sends_is_over_unless_it_looks_at_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario = attrs.evolve(
        SMALL, days=90, kills=0, stops=6, stop_seconds=90.0, trouble_seconds=500.0, seed=4
    )
    scenario = attrs.evolve(scenario, seconds_to_connect=8.0)
    report = run_fleet(scenario)
    assert (report.refused, report.peak_user, report.wrong_days) == (0, 60, 0)
    assert report.fenced
    monkeypatch.setattr(Moment, "most_seconds_until", lambda *_: 0.0)
    assert run_fleet(scenario).refused


def test_without_permits_everything_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle_at_once(self: Grant, count: int = 1) -> None:
        self._settle(min(count, self._open), trio.current_time() - 120)

    monkeypatch.setattr(Grant, "settle", settle_at_once)
    assert run_fleet(EASY).refused
