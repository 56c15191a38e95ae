"""Targets side by side, in virtual time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.report.record import from_json
from gsc_trio.shards.board import ShardProgress
from gsc_trio.shards.run import ShardMeter
from gsc_trio.sync.run import TargetResult
from gsc_trio.sync.run import sync as sync_targets
from gsc_trio.sync.targets import SyncTarget
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    SimulatedProperty,
    open_streaming_transport,
)
from gsc_trio.testing.simulated_process import SimulatedProcess
from gsc_trio.testing.simulated_store import SimulatedDisk, SimulatedStore
from tests.store.databases import content

TODAY = dt.date(2026, 6, 20)
LAST_FINAL_DAY = dt.date(2026, 6, 17)
SECONDS_PER_CALL = 0.35


def targets_of(count: int) -> list[SyncTarget]:
    return [
        SyncTarget(SearchAnalyticsQuery(f"sc-domain:site-{number}.example"), days=number % 3 + 1)
        for number in range(count)
    ]


def server_of(targets: Sequence[SyncTarget]) -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(target.query.site_url, rows_per_day=3) for target in targets],
        latency=Latency(SECONDS_PER_CALL, seconds_per_row=0),
        last_final_day=LAST_FINAL_DAY,
    )


async def sync(
    server: FakeSearchConsole,
    disk: SimulatedDisk,
    targets: Sequence[SyncTarget],
    *,
    meter: ShardMeter | None = None,
    halt_switch: HaltSwitch | None = None,
    max_concurrency: int = 10,
) -> Sequence[TargetResult]:
    store = SimulatedStore(disk, SimulatedProcess("worker"), delay=lambda: 0.0)
    settings = Settings(max_concurrency=max_concurrency)
    async with (
        open_streaming_transport(server) as transport,
        open_search_console(settings, transport=transport) as client,
    ):
        return await sync_targets(
            store,
            targets,
            client,
            today=TODAY,
            halt_switch=halt_switch or HaltSwitch(),
            instruments=[meter] if meter else [],
        )


async def test_targets_of_a_day_or_two_do_not_wait_for_each_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk, targets = SimulatedDisk(), targets_of(60)
    server, meter = server_of(targets), ShardMeter(ShardProgress(60))
    results = await sync(server, disk, targets, meter=meter)
    assert [result.status for result in results] == ["complete"] * 60
    assert [result.query for result in results] == [target.query for target in targets]
    assert [result.days for result in results] == [number % 3 + 1 for number in range(60)]
    assert meter.progress.targets_done == 60
    assert meter.progress.days == meter.progress.queries == len(server.calls) == 120
    # One after another it would take 42 seconds.
    assert trio.current_time() < 2 * 120 * SECONDS_PER_CALL / 10
    again = await sync(server, disk, targets)
    assert {result.status for result in again} == {"nothing to do"}
    assert len(server.calls) == 120


async def test_side_by_side_or_in_a_plain_loop_the_database_is_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    targets = targets_of(9)
    contents = []
    for max_concurrency in (1, 3, 20):
        disk = SimulatedDisk()
        await sync(server_of(targets), disk, targets, max_concurrency=max_concurrency)
        contents.append(content(disk.connection))
    assert contents[0]["page_ledger"]
    assert contents[1:] == contents[:1] * 2


async def test_one_that_may_not_be_seen_fails_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    targets = targets_of(5)
    results = await sync(server_of(targets[1:]), SimulatedDisk(), targets)
    assert [result.status for result in results] == ["failed"] + ["complete"] * 4
    assert "sufficient permission" in results[0].reason


async def test_what_was_not_begun_when_it_halts_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    targets, switch = targets_of(30), HaltSwitch()
    disk = SimulatedDisk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(halt_after, SECONDS_PER_CALL * 2.5, switch)
        results = await sync(
            server_of(targets), disk, targets, halt_switch=switch, max_concurrency=3
        )
    statuses = [result.status for result in results]
    assert set(statuses) == {"complete", "interrupted"}
    rest = await sync(server_of(targets), disk, targets)
    assert {result.status for result in rest} == {"complete", "nothing to do"}


async def test_each_target_leaves_a_record_of_its_own_run_and_of_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk, targets = SimulatedDisk(), targets_of(6)
    await sync(server_of(targets[1:]), disk, targets)
    store = SimulatedStore(disk, SimulatedProcess("reader"), delay=lambda: 0.0)
    runs = {run.site_url: await store.run(run.number) for run in await store.runs()}
    assert len(runs) == 6
    for number, target in enumerate(targets):
        run = runs[target.query.site_url]
        assert run is not None
        record = from_json(run.record)
        days = number % 3 + 1
        assert record.summary.status == ("failed" if number == 0 else "complete")
        assert record.summary.requests == record.quota["site"].used == days
        assert record.quota["user"].used <= 12
        assert sum(record.series.queries) == days
        assert len(record.days) == days
    assert {result.status for result in await sync(server_of(targets), disk, targets[1:])} == {
        "nothing to do"
    }
    assert len(await store.runs()) == 6


async def test_a_budget_needs_a_limiter_that_knows_one() -> None:
    targets = targets_of(2)
    store = SimulatedStore(SimulatedDisk(), SimulatedProcess("worker"), delay=lambda: 0.0)
    async with (
        open_streaming_transport(server_of(targets)) as transport,
        open_search_console(Settings(), transport=transport) as client,
    ):
        with pytest.raises(UsageError, match="BudgetedRateLimiter"):
            await sync_targets(store, targets, client, today=TODAY, max_requests=5)


async def halt_after(seconds: float, switch: HaltSwitch) -> None:
    await trio.sleep(seconds)
    switch.request(Halt("enough", status="interrupted"))
