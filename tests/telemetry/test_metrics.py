"""OpenTelemetry metrics: every one of the table is exported, and says what the summary says."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from gsc_trio.config import Settings
from gsc_trio.model import Day, Halt
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
    JobsReturned,
    QuotaUsed,
    RunFinished,
    RunStarted,
    TransactionCommitted,
)
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.telemetry.metrics import OpenTelemetryMetrics
from gsc_trio.testing import Fault, Refuse
from tests.telemetry.runs import SITE, TODAY, TOKEN, Recorder, day, fake_with_faults, run_with

NAMES = {
    "gsc_trio.queue.depth",
    "gsc_trio.jobs.in_flight",
    "gsc_trio.jobs.in_flight.limit",
    "gsc_trio.concurrency",
    "gsc_trio.workers.active",
    "gsc_trio.worker.crashes",
    "gsc_trio.batch.duration",
    "gsc_trio.batch.jobs",
    "gsc_trio.queries",
    "gsc_trio.quota.used",
    "gsc_trio.quota.limit",
    "gsc_trio.quota.approaching",
    "gsc_trio.quota.exceeded",
    "gsc_trio.pauses",
    "gsc_trio.pause.duration",
    "gsc_trio.retries",
    "gsc_trio.pages.answered",
    "gsc_trio.pages.committed",
    "gsc_trio.rows.committed",
    "gsc_trio.days.completed",
    "gsc_trio.days.left_out",
    "gsc_trio.days.fetched_again",
    "gsc_trio.days.planned",
    "gsc_trio.commit.duration",
    "gsc_trio.last_commit.time",
    "gsc_trio.halts",
    "gsc_trio.halt.duration",
    "gsc_trio.memory.resident",
    "gsc_trio.memory.waiting",
}


@attrs.define(eq=False)
class Exported:
    """A meter provider, and what it would export now."""

    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    provider: MeterProvider = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.provider = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        scopes = [scope for each in data.resource_metrics for scope in each.scope_metrics]
        assert {scope.scope.name for scope in scopes} == {"gsc_trio"}
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def value(self, name: str, **attributes: object) -> Any:
        """A counter's or gauge's value, added up over the attributes that are not named."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        points = [
            point
            for point in self.metrics()[name].data.data_points
            if wanted.items() <= dict(point.attributes).items()
        ]
        assert points
        return sum(point.value if hasattr(point, "value") else point.count for point in points)


async def test_a_run_exports_every_metric_and_its_numbers_are_the_summarys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exported, told = Exported(), Recorder()
    metrics = OpenTelemetryMetrics(Settings(max_concurrency=3), meter_provider=exported.provider)
    fake = fake_with_faults(
        Fault(Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded."), times=2),
        Fault(Refuse(503), times=2, whole_request=True),
        last_final_day=day(0),
    )

    def on_complete(completed: Day) -> Halt | None:
        return Halt("enough") if completed.data_date == day(25) else None

    summary = await run_with(
        [metrics, told], fake, days=40, end=TODAY, on_complete=on_complete, batch_size=4
    )
    assert summary.status == "halted"
    assert set(exported.metrics()) == NAMES
    value = exported.value
    assert value("gsc_trio.queries") == summary.requests == len(fake.calls) + 2 * 4
    assert value("gsc_trio.queries", http__batch=True) > 0
    assert value("gsc_trio.pages.committed") == summary.pages
    assert value("gsc_trio.commit.duration") == len(told.of(TransactionCommitted))
    assert value("gsc_trio.rows.committed") == summary.rows
    assert value("gsc_trio.days.completed") == summary.days
    assert value("gsc_trio.days.left_out") == 3
    assert value("gsc_trio.days.planned") == 43
    assert value("gsc_trio.retries") == summary.retries
    assert value("gsc_trio.retries", reason="backend") == 8
    assert value("gsc_trio.quota.exceeded", quota="user") == 2
    assert value("gsc_trio.pauses", reason="rate_limit_exceeded") >= 1
    assert value("gsc_trio.pause.duration") == value("gsc_trio.pauses")
    assert value("gsc_trio.halts", status="halted") == 1
    assert value("gsc_trio.halts") == value("gsc_trio.halt.duration") == 1
    assert value("gsc_trio.pages.answered") >= summary.pages + 3
    assert value("gsc_trio.worker.crashes") == 0
    assert value("gsc_trio.quota.limit", quota="site") == 1_200
    assert value("gsc_trio.quota.limit", quota="project") == 40_000
    assert value("gsc_trio.concurrency") == 3
    assert value("gsc_trio.jobs.in_flight.limit") == 300
    assert value("gsc_trio.memory.resident") > 10_000_000
    for over in ("queue.depth", "jobs.in_flight", "workers.active"):
        assert value(f"gsc_trio.{over}") == 0
    written = str(exported.metrics())
    for private in (TOKEN, SITE, "www.example.com", "access-token"):
        assert private not in written


async def test_property_and_user_are_named_in_every_value_only_when_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exported = Exported()
    metrics = OpenTelemetryMetrics(
        Settings(), site=SITE, user="me", meter_provider=exported.provider
    )
    await run_with([metrics], fake_with_faults())
    for metric in exported.metrics().values():
        for point in metric.data.data_points:
            assert point.attributes["gsc_trio.site"] == SITE
            assert point.attributes["gsc_trio.user"] == "me"


def test_gauges_follow_the_queue_the_quota_and_changes_of_concurrency() -> None:
    exported = Exported()
    metrics = OpenTelemetryMetrics(
        Settings(max_concurrency=2, batch_size=10), meter_provider=exported.provider
    )
    metrics.handle(RunStarted(SITE, day(9), day(0), days_planned=10))
    assert exported.value("gsc_trio.queue.depth") == 10
    assert exported.value("gsc_trio.jobs.in_flight.limit") == 40
    metrics.handle(BatchTaken("worker-1", 4, queue_depth=6, in_flight=4))
    metrics.handle(JobsReturned(1, queue_depth=7, in_flight=3))
    assert exported.value("gsc_trio.queue.depth") == 7
    assert exported.value("gsc_trio.jobs.in_flight") == 3
    metrics.handle(ConcurrencyChanged(2, 5, "fast enough"))
    assert exported.value("gsc_trio.concurrency") == 5
    assert exported.value("gsc_trio.jobs.in_flight.limit") == 100
    metrics.handle(QuotaUsed(f"site {SITE}", 7, 1_200))
    metrics.handle(QuotaUsed("user me", 8, 1_200))
    assert exported.value("gsc_trio.quota.used", quota="site") == 7
    assert exported.value("gsc_trio.quota.used", quota="user") == 8
    metrics.handle(QuotaUsed("site sc-domain:example.com", 5, 1_200))
    assert exported.value("gsc_trio.quota.used", quota="site") == 7
    metrics.handle(RunFinished("complete", "", 1.0))
    assert exported.value("gsc_trio.queue.depth") == 0


async def test_use_of_the_quota_falls_with_the_permits_that_come_back_also_for_another_thread(
    mock_clock: trio.testing.MockClock,
) -> None:
    exported = Exported()
    metrics = OpenTelemetryMetrics(Settings(), meter_provider=exported.provider)
    limiter = RateLimiter(instruments=Instruments([metrics]))
    limiter.restore("me", SITE, 7, answered_seconds_ago=50)

    async def used(quota: str) -> int:
        asked: int = await trio.to_thread.run_sync(
            partial(exported.value, "gsc_trio.quota.used", quota=quota)
        )
        return asked

    assert await used("user") == await used("project") == 7
    with await limiter.acquire("me", SITE, 20) as grant:
        grant.mark_sent(20)
        grant.settle(12)
        mock_clock.jump(11)
        assert await used("user") == 20
        mock_clock.jump(50)
        assert await used("user") == await used("site") == 8
        grant.settle(8)
    mock_clock.jump(61)
    assert await used("user") == await used("project") == 0
    assert exported.value("gsc_trio.quota.limit", quota="user") == 1_200


def test_counters_begin_at_0_so_that_the_first_increase_is_seen() -> None:
    exported = Exported()
    metrics = OpenTelemetryMetrics(Settings(), meter_provider=exported.provider)
    metrics.handle(RunStarted(SITE, day(9), day(0), days_planned=10))
    points = {
        (name, *sorted(map(str, point.attributes.values())))
        for name, metric in exported.metrics().items()
        for point in metric.data.data_points
        if hasattr(metric.data, "is_monotonic") and point.value == 0
    }
    assert {
        ("gsc_trio.quota.exceeded", "user"),
        ("gsc_trio.quota.approaching", "project"),
        ("gsc_trio.pauses", "load_quota_exceeded"),
        ("gsc_trio.retries", "malformed_response"),
        ("gsc_trio.halts", "failed"),
        ("gsc_trio.worker.crashes",),
        ("gsc_trio.pages.committed",),
        ("gsc_trio.queries", "True"),
    } <= points


WITHOUT_SDK = """
import sys
from opentelemetry import metrics, trace
from gsc_trio.config import Settings
from gsc_trio.telemetry.metrics import OpenTelemetryMetrics
from gsc_trio.telemetry.traces import OpenTelemetryTraces
from gsc_trio.testing import run_in_virtual_time
from tests.telemetry.runs import fake_with_faults, run_with

spans = []
start_span = trace.ProxyTracer.start_span
trace.ProxyTracer.start_span = lambda *a, **k: spans.append(start_span(*a, **k)) or spans[-1]
instruments = [OpenTelemetryMetrics(Settings()), OpenTelemetryTraces()]
summary = run_in_virtual_time(lambda: run_with(instruments, fake_with_faults()))
assert summary.status == "complete"
assert len(spans) > 2
assert not any(span.is_recording() or span.get_span_context().is_valid for span in spans)
assert not any(name.startswith("opentelemetry.sdk") for name in sys.modules)
"""


def test_without_an_sdk_nothing_is_recorded() -> None:
    """In a process of its own, since a global provider can be set only once."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDK], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_follow_the_conventions() -> None:
    for name in NAMES:
        assert re.fullmatch(r"gsc_trio(\.[a-z]+(_[a-z]+)*)+", name)
