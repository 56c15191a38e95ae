"""URL Inspection in virtual time: its own quotas, what is asked again, what ends the work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import DailyLimitExceededError, PermissionDeniedError, UnauthenticatedError
from gsc_trio.inspection import FailedInspection, Inspector, Target, inspection_limiter
from gsc_trio.testing import (
    FakeSearchConsole,
    Fault,
    InspectionQuota,
    Refuse,
    SimulatedProperty,
    open_streaming_transport,
)
from gsc_trio.wire.inspection import Inspection

SITE = "sc-domain:example.com"


def targets(count: int, site_url: str = SITE) -> list[Target]:
    return [Target(site_url, f"https://example.com/{number}") for number in range(count)]


def fake(**options: Any) -> FakeSearchConsole:
    return FakeSearchConsole([SimulatedProperty(SITE)], **options)


@asynccontextmanager
async def open_inspector(
    server: FakeSearchConsole, *, per_minute: int = 600
) -> AsyncIterator[Inspector]:
    settings = Settings()
    async with (
        open_streaming_transport(server) as transport,
        open_search_console(settings, transport=transport) as client,
    ):
        yield Inspector(client, inspection_limiter(settings, per_minute=per_minute))


class Received(list[Inspection | FailedInspection]):
    async def receive(self, inspected: Inspection | FailedInspection) -> None:
        self.append(inspected)

    @property
    def urls(self) -> list[str]:
        return sorted(each.inspection_url for each in self if isinstance(each, Inspection))


async def test_no_minute_has_more_than_its_quota_and_none_is_refused(
    autojump_clock: MockClock,
) -> None:
    server, received = fake(inspection_quota=InspectionQuota(per_minute=60)), Received()
    async with open_inspector(server, per_minute=60) as inspector:
        await inspector.inspect(targets(150), received.receive, concurrency=20)
    assert received.urls == sorted(target.url for target in targets(150))
    assert server.site_methods.inspection_quota.refused == 0
    assert server.site_methods.inspection_quota.peak_per_minute == 60
    assert 120 <= trio.current_time() < 125


async def test_a_quota_that_is_smaller_than_was_thought_is_waited_for(
    autojump_clock: MockClock,
) -> None:
    server, received = fake(inspection_quota=InspectionQuota(per_minute=20)), Received()
    async with open_inspector(server) as inspector:
        await inspector.inspect(targets(50), received.receive, concurrency=10)
    assert len(received.urls) == 50
    assert server.site_methods.inspection_quota.refused > 0


async def test_when_the_days_quota_is_used_up_what_was_answered_is_kept(
    autojump_clock: MockClock,
) -> None:
    server, received = fake(inspection_quota=InspectionQuota(per_day=30)), Received()
    async with open_inspector(server) as inspector:
        with pytest.raises(DailyLimitExceededError, match="go on tomorrow"):
            await inspector.inspect(targets(100), received.receive, concurrency=5)
    assert len(received.urls) == 30
    assert len(server.site_methods.inspected) <= 30 + 5


async def test_a_quota_that_never_comes_back_ends_the_work(autojump_clock: MockClock) -> None:
    server, received = fake(inspection_quota=InspectionQuota(per_minute=0)), Received()
    async with open_inspector(server) as inspector:
        with pytest.raises(DailyLimitExceededError, match="after 8 pauses"):
            await inspector.inspect(targets(20), received.receive, concurrency=5)
    assert received == []
    assert trio.current_time() > 120


async def test_a_backend_that_fails_is_asked_again(autojump_clock: MockClock) -> None:
    down = Refuse(503, "backendError", "Try again.")
    faults = [Fault(down, whole_request=True), Fault(down, skip=1, whole_request=True)]
    server, received = fake(faults=faults), Received()
    async with open_inspector(server) as inspector:
        await inspector.inspect(targets(4), received.receive, concurrency=1)
    assert len(received.urls) == 4
    assert server.http_requests == 6


async def test_a_url_for_which_the_backend_never_answers_does_not_keep_the_others(
    autojump_clock: MockClock,
) -> None:
    faults = [Fault(Refuse(503, "backendError", "No."), times=5, whole_request=True)]
    server, received = fake(faults=faults), Received()
    async with open_inspector(server) as inspector:
        await inspector.inspect(targets(3), received.receive, concurrency=1)
    [failed] = [each for each in received if isinstance(each, FailedInspection)]
    assert (failed.target.url, failed.error.status) == ("https://example.com/0", 503)
    assert received.urls == ["https://example.com/1", "https://example.com/2"]


async def test_a_request_that_google_finds_wrong_concerns_one_url(
    autojump_clock: MockClock,
) -> None:
    faults = [Fault(Refuse(400, "badRequest", "Invalid URL."), whole_request=True)]
    server, received = fake(faults=faults), Received()
    async with open_inspector(server) as inspector:
        await inspector.inspect(targets(3), received.receive, concurrency=1)
    assert len(received.urls) == 2
    assert len(received) == 3


async def test_what_concerns_all_urls_ends_the_work(autojump_clock: MockClock) -> None:
    received = Received()
    async with open_inspector(fake()) as inspector:
        with pytest.raises(PermissionDeniedError):
            await inspector.inspect(
                targets(9, "sc-domain:no.mine"), received.receive, concurrency=3
            )
    server = fake(access_tokens=frozenset({"good"}))
    async with open_inspector(server) as inspector:
        with pytest.raises(UnauthenticatedError):
            await inspector.inspect(targets(9), received.receive, concurrency=3)
    assert server.http_requests <= 3
    assert received == []
