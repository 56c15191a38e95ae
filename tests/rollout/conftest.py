"""Whole rollouts in virtual time: the fake in process, real SQLite files, threads on the loop."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
import trio

from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.rollout.findings import Findings
from gsc_trio.rollout.plan import RolloutRequest
from gsc_trio.rollout.run import run_rollout
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    SimulatedProperty,
    open_streaming_transport,
    run_in_virtual_time,
)

T = TypeVar("T")

SITE = "sc-domain:example.com"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
DAYS = 40
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)


def day(number: int) -> dt.date:
    return END - dt.timedelta(days=number)


PROPERTY = SimulatedProperty(SITE, rows_per_day=8, rows_by_day={day(1): 30, day(7): 0})


class Rehearse(Protocol):
    def __call__(
        self,
        fake: FakeSearchConsole,
        *,
        tell: Callable[[str], None] = ...,
        interruption: HaltSwitch | None = ...,
        instrument: Instrument | None = ...,
        days: int = ...,
        baseline_days: int = ...,
        **settings: Any,
    ) -> Findings: ...


def slow_fake(**facts: Any) -> FakeSearchConsole:
    """As slow as Google."""
    return FakeSearchConsole([PROPERTY], latency=Latency(jitter=0.1), **facts)


@pytest.fixture(autouse=True)
def _virtual_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads work on the event loop, since virtual time does not see them.

    What the tests before this one left in memory is none of a rollout's concern.
    """

    async def run_sync(function: Callable[..., T], *args: object, **_: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr("trio.to_thread.run_sync", run_sync)
    monkeypatch.setattr("gsc_trio.rollout.measurement.resident_bytes", lambda: 90_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a thing: a rollout waits for the disk 600 times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as path:
        yield Path(path)


@pytest.fixture
def request_for(folder: Path) -> Callable[..., RolloutRequest]:
    def make(days: int = DAYS, baseline_days: int | None = None, **settings: Any) -> RolloutRequest:
        return RolloutRequest(
            query=QUERY,
            end=END,
            days=days,
            baseline_days=baseline_days or days,
            today=TODAY,
            settings=Settings(api_root="http://fake.example", **settings),
            database=folder / "gsc.db",
        )

    return make


@pytest.fixture
def rehearse(request_for: Callable[..., RolloutRequest]) -> Rehearse:
    """Run a rollout; gives what it found out."""

    def run(
        fake: FakeSearchConsole,
        *,
        tell: Callable[[str], None] = lambda _: None,
        interruption: HaltSwitch | None = None,
        instrument: Instrument | None = None,
        days: int = DAYS,
        baseline_days: int = DAYS,
        **settings: Any,
    ) -> Findings:
        request = request_for(days, baseline_days, **settings)
        findings = Findings(request)

        @asynccontextmanager
        async def watch() -> AsyncIterator[Sequence[Instrument]]:
            yield [instrument] if instrument else []

        async def main() -> None:
            async with open_streaming_transport(fake) as transport:
                await run_rollout(
                    request,
                    findings,
                    interruption=interruption or HaltSwitch(),
                    watch=watch,
                    tell=tell,
                    transport=transport,
                )

        run_in_virtual_time(main)
        return findings

    return run
