"""Who is stopped between writing queries down and sending them asks again before sending them."""

from __future__ import annotations

import datetime as dt
import gc
import warnings
from collections.abc import Collection, Sequence

import attrs
import httpx
import pytest
import trio
import trio.testing

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import FencedError
from gsc_trio.machine_clock import Moment
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.quota_journal import SEND_WITHIN_SECONDS
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.sender import ConfirmedBody
from gsc_trio.store.base import GrantKey, NoStore, RecordedGrant
from gsc_trio.summary import RunSummary
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    SimulatedProperty,
    open_streaming_transport,
)

SITE = "sc-domain:example.com"
END = dt.date(2026, 6, 17)
LATE = SEND_WITHIN_SECONDS + 0.1


@attrs.define(eq=False)
class SlowNetwork(httpx.AsyncBaseTransport):
    """A network on whose way the process is stopped, before a request's body or in its midst."""

    network: httpx.AsyncBaseTransport
    seconds: float
    stops: int
    in_the_midst: bool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        sent = b""
        if not self.in_the_midst:
            await self.stop()
        async for part in request.stream:
            sent += part
            if self.in_the_midst and len(sent) < int(request.headers["Content-Length"]):
                await self.stop()
        assert sent == request.content
        return await self.network.handle_async_request(request)

    async def stop(self) -> None:
        if self.stops:
            self.stops -= 1
            await trio.sleep(self.seconds)


@attrs.define(eq=False)
class Leased(NoStore):
    """A store that another process takes over at a time; grants alone."""

    taken_over_at: float
    seconds_per_commit: float = 0.0
    recorded: list[RecordedGrant] = attrs.field(factory=list)

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        await trio.sleep(self.seconds_per_commit)
        if trio.current_time() >= self.taken_over_at:
            raise FencedError("taken over")
        self.recorded += [grant for grant in grants if grant.answered is None]


def now() -> Moment:
    return Moment(1e9 + trio.current_time(), trio.current_time(), "a boot")


async def run(
    fake: FakeSearchConsole,
    store: Leased,
    *,
    seconds: float,
    stops: int = 1,
    in_the_midst: bool = False,
    batch_size: int = 3,
) -> RunSummary:
    settings = Settings(max_concurrency=1, batch_size=batch_size)
    async with open_streaming_transport(fake) as network:
        transport = SlowNetwork(network, seconds, stops, in_the_midst)
        limiter = RateLimiter(clock=now)
        async with open_search_console(settings, transport=transport, limiter=limiter) as client:
            return await backfill(
                client,
                SearchAnalyticsQuery(SITE),
                store,
                start=END - dt.timedelta(days=2),
                end=END,
                today=dt.date(2026, 6, 20),
            )


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=3)], latency=Latency(scale=0))


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("in_the_midst", [False, True])
async def test_who_was_taken_over_meanwhile_sends_nothing(
    autojump_clock: trio.testing.MockClock,
    fake: FakeSearchConsole,
    in_the_midst: bool,
    batch_size: int,
) -> None:
    store = Leased(taken_over_at=trio.current_time() + 1)
    summary = await run(fake, store, seconds=LATE, in_the_midst=in_the_midst, batch_size=batch_size)
    assert (summary.status, summary.reason) == ("failed", "taken over")
    assert fake.calls == []


async def test_who_was_not_writes_it_down_again_and_sends_it(
    autojump_clock: trio.testing.MockClock, fake: FakeSearchConsole
) -> None:
    store = Leased(taken_over_at=float("inf"))
    summary = await run(fake, store, seconds=LATE)
    assert (summary.status, summary.requests, len(fake.calls)) == ("complete", 3, 3)
    first, again = store.recorded
    assert again.key == first.key
    assert first.sent.seconds_until(again.sent) >= LATE
    assert summary.retries == 0


async def test_who_was_stopped_for_a_moment_only_sends_it_as_it_is(
    autojump_clock: trio.testing.MockClock, fake: FakeSearchConsole
) -> None:
    store = Leased(taken_over_at=trio.current_time() + 1)
    await run(fake, store, seconds=SEND_WITHIN_SECONDS - 0.1)
    assert len(fake.calls) == 3
    assert len(store.recorded) == 1


@pytest.mark.parametrize(("content", "pieces"), [(b"abc", [b"ab", b"c"]), (b"", [])])
async def test_a_body_is_confirmed_before_each_piece(content: bytes, pieces: list[bytes]) -> None:
    grant, confirmed = Grant([], 1, is_probe=False), []

    async def confirm() -> None:
        await trio.lowlevel.checkpoint()
        confirmed.append(True)

    grant.confirm = confirm
    assert [piece async for piece in ConfirmedBody(content, grant)] == pieces
    assert len(confirmed) == max(1, len(pieces))


async def test_a_body_that_is_dropped_halfway_has_nothing_to_be_closed() -> None:
    body = aiter(ConfirmedBody(b"abc", Grant([], 1, is_probe=False)))
    assert await anext(body) == b"ab"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del body
        gc.collect()
    assert not caught
