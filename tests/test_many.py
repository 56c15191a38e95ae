"""Many properties in one process, in virtual time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole, open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.many import backfill_many
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    BatchTaken,
    Event,
    PropertyFinished,
    PropertyStarted,
    RunFinished,
    RunStarted,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.testing import (
    FakeSearchConsole,
    Fault,
    HtmlPage,
    Latency,
    Quota,
    Refuse,
    SimulatedProperty,
    open_streaming_transport,
)
from gsc_trio.testing.simulated_process import SimulatedProcess
from gsc_trio.testing.simulated_store import SimulatedDisk, SimulatedStore

TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
ROW_LIMIT = 4
DIED = "the disk is gone"


def site(number: int) -> str:
    return f"sc-domain:site-{number}.example"


def query(site_url: str) -> SearchAnalyticsQuery:
    return SearchAnalyticsQuery(site_url, row_limit=ROW_LIMIT)


def server(sites: int, **options: Any) -> FakeSearchConsole:
    properties = [
        SimulatedProperty(site(each), seed=each, rows_per_day=2 + each % 3) for each in range(sites)
    ]
    options.setdefault("latency", Latency(seconds_per_row=0, jitter=0.3))
    return FakeSearchConsole(properties, **options)


@attrs.define(eq=False)
class Watch:
    """An instrument that remembers what it is told, and how many workers there were."""

    events: list[Event] = attrs.field(factory=list)
    workers: set[str] = attrs.field(factory=set)
    most_workers: int = 0
    open_sites: set[str] = attrs.field(factory=set)
    most_open: int = 0

    def handle(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case WorkerStarted(worker):
                self.workers.add(worker)
                self.most_workers = max(self.most_workers, len(self.workers))
            case WorkerEnded(worker):
                self.workers.remove(worker)
            case PropertyStarted(site_url):
                self.open_sites.add(site_url)
                self.most_open = max(self.most_open, len(self.open_sites))
            case PropertyFinished(site_url):
                self.open_sites.discard(site_url)
            case _:
                pass

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@attrs.define(eq=False)
class World:
    """A server, a disk, and what runs between them."""

    server: FakeSearchConsole
    settings: Settings = attrs.field(factory=Settings)
    users: Sequence[str] = ("me",)
    disk: SimulatedDisk = attrs.field(factory=SimulatedDisk)
    watch: Watch = attrs.field(factory=Watch)
    store_fault: str | None = None

    async def backfill(
        self,
        sites: Sequence[str],
        days: int = 6,
        instruments: Sequence[Instrument] = (),
        **options: Any,
    ) -> list[RunSummary]:
        """Backfill sites, dealt to the users in turn; each user's name is its access token."""
        async with AsyncExitStack() as stack:
            transport = await stack.enter_async_context(open_streaming_transport(self.server))
            limiter = RateLimiter.from_settings(self.settings)
            clients: list[SearchConsole] = [
                await stack.enter_async_context(
                    open_search_console(
                        attrs.evolve(self.settings, access_token=user),
                        limiter=limiter,
                        user=user,
                        transport=transport,
                    )
                )
                for user in self.users
            ]
            by_site = {each: clients[n % len(clients)] for n, each in enumerate(sites)}
            return await backfill_many(
                by_site.__getitem__,
                map(query, sites),
                self.store(),
                start=END - dt.timedelta(days=days - 1),
                end=END,
                instruments=[self.watch, *instruments],
                today=TODAY,
                **options,
            )

    async def alone(self, sites: Sequence[str], days: int = 6) -> list[str]:
        """What a database holds after running each alone, one after another by the plain loop."""
        disk = SimulatedDisk()
        settings = Settings(max_concurrency=1, batch_size=1, queries_per_minute=100_000)
        async with (
            open_streaming_transport(server(len(sites))) as transport,
            open_search_console(settings, transport=transport) as client,
        ):
            for each in sites:
                summary = await backfill(
                    client,
                    query(each),
                    SimulatedStore(disk, SimulatedProcess("alone"), delay=lambda: 0.0),
                    start=END - dt.timedelta(days=days - 1),
                    end=END,
                    today=TODAY,
                )
                assert summary.status == "complete"
        return content_of(disk)

    def store(self) -> SimulatedStore:
        return SimulatedStore(
            self.disk,
            SimulatedProcess("many"),
            delay=lambda: 0.001,
            choose=lambda: self.store_fault,
        )


def content_of(disk: SimulatedDisk) -> list[str]:
    """Rows and ledger by property: the numbers of datasets follow from who began first."""
    ledger = disk.connection.execute(
        "SELECT site_url, data_date, start_row, row_count, data_state FROM page_ledger "
        "JOIN dataset ON dataset.id = dataset_id"
    ).fetchall()
    rows = disk.connection.execute(
        "SELECT site_url, stored.* FROM search_analytics_by_page_query AS stored "
        "JOIN dataset ON dataset.id = dataset_id"
    ).fetchall()
    dataset = 1  # the first column of a row
    return sorted(map(repr, [*ledger, *((each[0], *each[dataset + 1 :]) for each in rows)]))


def statuses(summaries: Sequence[RunSummary]) -> list[str]:
    return [summary.status for summary in summaries]


SITES = [site(number) for number in range(12)]


@pytest.mark.parametrize("max_concurrency", [1, 2, 5, 100])
@pytest.mark.parametrize("users", [("me",), ("me", "you", "they")])
async def test_the_database_is_that_of_running_each_alone(
    max_concurrency: int, users: Sequence[str], autojump_clock: trio.testing.MockClock
) -> None:
    world = World(server(12), Settings(max_concurrency=max_concurrency, batch_size=4), users)
    summaries = await world.backfill(SITES)
    assert [summary.site for summary in summaries] == SITES
    assert set(statuses(summaries)) == {"complete"}
    assert [summary.days for summary in summaries] == [6] * 12
    assert content_of(world.disk) == await world.alone(SITES)
    # Neither more workers nor more runs than the settings say, however many properties.
    assert world.watch.most_workers <= max_concurrency * len(users)
    assert world.watch.most_open <= max_concurrency * len(users)


async def test_no_limit_of_site_user_and_project_is_ever_exceeded_and_all_of_it_is_used(
    autojump_clock: trio.testing.MockClock,
) -> None:
    quota = Quota(queries_per_minute=60, project_queries_per_minute=150)
    world = World(
        server(24, quota=quota),
        Settings(
            max_concurrency=8,
            batch_size=5,
            queries_per_minute=60,
            project_queries_per_minute=150,
        ),
        ("a", "b", "c"),
    )
    summaries = await world.backfill([site(number) for number in range(24)], days=25)
    assert set(statuses(summaries)) == {"complete"}
    assert quota.refused == 0
    assert (quota.peak("user"), quota.peak("project")) == (60, 150)
    assert quota.peak("site") <= 60


@pytest.mark.parametrize(("sites", "days"), [(3, 200), (120, 5)])
async def test_several_sites_use_97_percent_of_the_users_quota_while_there_is_work(
    sites: int, days: int, autojump_clock: trio.testing.MockClock
) -> None:
    quota = Quota(queries_per_minute=60)
    world = World(
        server(sites, quota=quota),
        Settings(max_concurrency=6, batch_size=10, queries_per_minute=60),
    )
    began = trio.current_time()
    summaries = await world.backfill([site(number) for number in range(sites)], days=days)
    queries = sum(summary.requests for summary in summaries)
    assert quota.refused == 0
    # The quota allows 60 at once, and 60 more in each minute; the last are answered after it.
    minutes = (trio.current_time() - began) / 60
    assert queries >= 0.97 * 60 * minutes


async def test_who_fails_stops_nobody_else(autojump_clock: trio.testing.MockClock) -> None:
    gone, bad, broken = site(77), site(3), site(5)
    world = World(
        server(
            12,
            faults=[
                Fault(HtmlPage(502), times=None, site_url=bad),
                Fault(Refuse(400, "badRequest", "No."), times=None, site_url=broken),
            ],
        ),
        Settings(max_concurrency=2, batch_size=4, retry_budget=3),
    )
    sites = [gone, *SITES]
    by_site = dict(zip(sites, await world.backfill(sites), strict=True))
    assert {each for each in sites if by_site[each].status != "complete"} == {gone, bad, broken}
    assert "sufficient permission" in by_site[gone].reason
    assert "gave up after too many failed requests" in by_site[bad].reason
    assert "Google refused: No." in by_site[broken].reason
    finished = {event.site_url: event.status for event in world.watch.of(PropertyFinished)}
    assert finished == {each: by_site[each].status for each in sites}
    (over,) = world.watch.of(RunFinished)
    assert (over.status, over.reason) == ("failed", "3 of 13 properties")
    # The next run asks for what is missing, and for nothing else.
    world.server._script.faults.clear()
    world.server.calls.clear()
    again = await world.backfill(SITES)
    assert set(statuses(again)) == {"complete"}
    assert {call.site_url for call in world.server.calls} == {bad, broken}
    assert content_of(world.disk) == await world.alone(SITES)


async def test_properties_that_only_fail_hold_up_no_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two workers and two properties that back off for minutes: the others do not wait."""
    bad = [site(0), site(1)]
    world = World(
        server(12, faults=[Fault(HtmlPage(502), times=None, site_url=each) for each in bad]),
        Settings(max_concurrency=2, batch_size=4, retry_budget=30),
    )
    done_at: dict[str, float] = {}

    class Clock:
        def handle(self, event: Event) -> None:
            if isinstance(event, PropertyFinished):
                done_at[event.site_url] = trio.current_time()

    summaries = await world.backfill(SITES, instruments=[Clock()])
    assert Counter(statuses(summaries)) == {"complete": 10, "failed": 2}
    others = max(time for each, time in done_at.items() if each not in bad)
    assert others < 60 < min(done_at[each] for each in bad)


async def test_a_small_property_does_not_wait_for_a_large_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The least work first; and of those that run, each has its share of the quota."""
    quota = Quota(queries_per_minute=60)
    world = World(
        server(6, quota=quota), Settings(max_concurrency=4, batch_size=10, queries_per_minute=60)
    )
    await world.backfill([site(0), site(1), site(2), site(3)], days=99)
    world.server.calls.clear()
    await world.backfill([site(0), site(1), site(2), site(3), site(4), site(5)], days=100)
    asked = [call.site_url for call in world.server.calls]
    assert set(SITES[:4]) <= set(asked[:10])  # a day each
    shares = Counter(asked[10:110])
    assert abs(shares[site(4)] - shares[site(5)]) <= 20  # two batches


async def test_the_last_property_has_all_workers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(server(2), Settings(max_concurrency=6, batch_size=2))
    await world.backfill([site(0)], days=60)
    await world.backfill([site(0), site(1)], days=61)
    second_run = world.watch.events.index(world.watch.of(RunFinished)[0])
    takers = {
        event.worker for event in world.watch.events[second_run:] if type(event) is BatchTaken
    }
    assert {f"2/worker-{number}" for number in range(1, 7)} <= takers


async def test_a_refused_sign_in_ends_its_account_and_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(server(8, access_tokens={"good"}), Settings(), ("good", "bad"))
    summaries = await world.backfill(SITES[:8])
    assert statuses(summaries) == ["complete", "failed"] * 4
    reasons = [summary.reason for summary in summaries[1::2]]
    assert any(reason.startswith("not asked for after ") for reason in reasons)
    assert sum(call.user == "bad" for call in world.server.calls) <= 3 * 50


async def test_a_database_that_fails_ends_all(autojump_clock: trio.testing.MockClock) -> None:
    world = World(server(12), Settings(max_concurrency=2, batch_size=2))

    class Killer:
        def handle(self, event: Event) -> None:
            if isinstance(event, PropertyFinished):
                world.store_fault = DIED

    summaries = await world.backfill(SITES, instruments=[Killer()])
    failed = [summary for summary in summaries if summary.status == "failed"]
    assert len(failed) >= 10
    assert {summary.reason for summary in failed} <= {
        DIED,
        "the database failed",
        "not begun: the database failed",
    }


@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0])
async def test_a_halt_ends_all_and_the_next_run_goes_on_where_they_stopped(
    seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    world, switch = World(server(12), Settings(max_concurrency=3, batch_size=4)), HaltSwitch()

    async def interrupt() -> None:
        await trio.sleep(seconds)
        switch.request(Halt("interrupted by SIGINT", status="interrupted"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(interrupt)
        summaries = await world.backfill(SITES, days=12, halt_switch=switch)
        ended_at = trio.current_time()
    assert ended_at <= switch.requested_at + 4.5
    assert "interrupted" in statuses(summaries)
    assert set(statuses(summaries)) <= {"interrupted", "complete"}
    assert any(summary.reason.startswith("not begun: ") for summary in summaries)
    (over,) = world.watch.of(RunFinished)
    assert (over.status, world.watch.events[-1]) == ("interrupted", over)
    assert not world.watch.workers
    committed = {
        (row[0], row[1])
        for row in world.disk.connection.execute(
            "SELECT site_url, data_date FROM page_ledger JOIN dataset ON dataset.id = dataset_id"
        )
    }
    world.server.calls.clear()
    again = await world.backfill(SITES, days=12)
    assert set(statuses(again)) == {"complete"}
    first_pages = {
        (call.site_url, call.data_date) for call in world.server.calls if call.start_row == 0
    }
    assert not committed & first_pages
    assert content_of(world.disk) == await world.alone(SITES, days=12)


async def test_who_has_nothing_to_do_is_neither_asked_for_nor_written(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(server(12))
    await world.backfill(SITES)
    world.server.calls.clear()
    before, world.watch = world.disk.connection.total_changes, Watch()
    summaries = await world.backfill(SITES)
    assert statuses(summaries) == ["complete"] * 12
    assert world.server.http_requests
    assert not world.server.calls
    assert world.disk.connection.total_changes == before
    assert [type(event) for event in world.watch.events] == [RunStarted, RunFinished]


async def test_concurrency_changes_for_all_while_they_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, concurrency = World(server(12), Settings(batch_size=2)), Concurrency(2)

    async def change() -> None:
        await trio.sleep(2)
        assert len(world.watch.workers) == 2
        concurrency.change(8, "by hand")
        await trio.sleep(2)
        assert len(world.watch.workers) == 8
        concurrency.change(1, "the rollback")
        await trio.sleep(40)
        assert len(world.watch.workers) == len(world.watch.open_sites)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(change)
        summaries = await world.backfill(SITES, days=60, concurrency=concurrency)
    assert set(statuses(summaries)) == {"complete"}


async def test_depths_are_those_of_all_and_workers_are_told_apart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(server(6), Settings(max_concurrency=6, batch_size=2))
    await world.backfill(SITES[:6], days=9)
    (started,) = world.watch.of(RunStarted)
    assert (started.site_url, started.days_planned) == ("6 properties", 54)
    taken = world.watch.of(BatchTaken)
    assert {f"{number}/worker-1" for number in range(1, 7)} <= {event.worker for event in taken}
    assert max(event.queue_depth for event in taken) > 9
    assert 12 <= max(event.in_flight for event in taken) <= 24
    assert (taken[0].in_flight, taken[1].in_flight) == (2, 4)


async def test_auto_finds_out_for_one_account_and_is_refused_for_several(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = Settings(max_concurrency="auto", batch_size=2)
    world = World(server(12), settings)
    await world.backfill(SITES, days=40)
    assert world.watch.most_workers > 3
    with pytest.RaisesGroup(
        pytest.RaisesExc(UsageError, match="auto finds out for one account only"),
        flatten_subgroups=True,
    ):
        await World(server(2), settings, ("a", "b")).backfill(SITES[:2])


async def test_wrong_requests_are_refused_before_anything_is_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(server(2))
    with pytest.RaisesGroup(
        pytest.RaisesExc(UsageError, match="site-0.example is there twice"),
        flatten_subgroups=True,
    ):
        await world.backfill([site(0), site(1), site(0)])
    with pytest.RaisesGroup(UsageError, flatten_subgroups=True):
        await world.backfill([site(0)], days=3_000)
    assert await world.backfill([]) == []
    assert not world.server.calls
