"""The metrics of a worker: one address, and a label for each shard."""

from __future__ import annotations

import datetime as dt
import socket

import httpx
import pytest
import trio

from gsc_trio.cli.telemetry import TelemetryOptions
from gsc_trio.cli.worker_telemetry import WorkerTelemetry, open_worker_telemetry
from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.model import Day
from gsc_trio.telemetry.events import DayCompleted, Event, QuotaUsed
from gsc_trio.telemetry.instrument import Instruments


def tell(telemetry: WorkerTelemetry, shard: str, *events: Event) -> None:
    """A shard's run, in which something happens."""

    async def run() -> None:
        async with telemetry.open(Settings(), shard=shard, user=f"{shard}@example.com") as told:
            for event in events:
                Instruments(told).handle(event)

    trio.run(run)


def used(queries: int) -> QuotaUsed:
    return QuotaUsed("user someone", queries, 1_200)


def day(number: int) -> DayCompleted:
    return DayCompleted(Day(dt.date(2026, 6, number), 10))


def address_in(output: str) -> str:
    [line] = output.splitlines()
    assert line.startswith("metrics are at http://127.0.0.1:")
    return line.split()[-1]


def test_shards_side_by_side_and_one_after_another_are_told_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with open_worker_telemetry(TelemetryOptions(metrics_port=0)) as telemetry:
        address = address_in(capsys.readouterr().err)
        tell(telemetry, "north", used(7), day(1), day(2))
        tell(telemetry, "south", used(5), day(1))
        tell(telemetry, "north", used(9), day(3))
        lines = httpx.get(address).text.splitlines()
        for line in (
            'gsc_trio_quota_used{gsc_trio_shard="north",quota="user"} 9.0',
            'gsc_trio_quota_used{gsc_trio_shard="south",quota="user"} 5.0',
            'gsc_trio_days_completed_total{gsc_trio_shard="north"} 3.0',
            'gsc_trio_days_completed_total{gsc_trio_shard="south"} 1.0',
        ):
            assert line in lines
        assert "@example.com" not in httpx.get(address).text
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_users_are_named_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    options = TelemetryOptions(metrics_port=0, with_identities=True)
    with open_worker_telemetry(options) as telemetry:
        tell(telemetry, "north", day(1))
        page = httpx.get(address_in(capsys.readouterr().err)).text
    assert 'gsc_trio_shard="north",gsc_trio_user="north@example.com"' in page


def test_a_port_in_use_is_told_before_anything_is_done() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        options = TelemetryOptions(metrics_port=listener.getsockname()[1])
        with (
            pytest.raises(UsageError, match="cannot serve metrics"),
            open_worker_telemetry(options),
        ):
            pytest.fail("it was opened")
