"""Access tokens that expire in the middle of a run."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import trio
import trio.testing

from gsc_trio.access import AccessToken, AccessTokens, TokenSource
from gsc_trio.backfill import fetch_all
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import FinalError, TransportError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.summary import RunSummary
from gsc_trio.testing import FakeSearchConsole, Latency, SimulatedProperty, open_streaming_transport

SITE = "sc-domain:example.com"
END = dt.date(2026, 6, 17)


class Tokens:
    """Gives tokens that the fake takes for so many seconds each."""

    def __init__(self, fake: FakeSearchConsole, lifetime_seconds: float) -> None:
        self.fake = fake
        self.lifetime_seconds = lifetime_seconds
        self.given = 0

    async def __call__(self) -> str:
        await trio.sleep(0.5)
        self.given += 1
        self.fake.access_tokens = frozenset({f"token-{self.given}"})
        self.expires_at = trio.current_time() + self.lifetime_seconds
        return f"token-{self.given}"

    async def expire(self) -> None:
        while True:
            await trio.sleep(self.lifetime_seconds)
            self.fake.access_tokens = frozenset()


def fake_search_console() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=5)],
        latency=Latency(seconds_per_call=1.0),
        access_tokens=frozenset(),
    )


async def run(
    fake: FakeSearchConsole, source: TokenSource | None, settings: Settings
) -> RunSummary:
    with trio.fail_after(86_400):
        async with (
            open_streaming_transport(fake) as transport,
            open_search_console(settings, transport=transport, credentials=source) as client,
        ):
            return await fetch_all(
                client,
                SearchAnalyticsQuery(SITE),
                start=END - dt.timedelta(days=29),
                end=END,
                today=dt.date(2026, 6, 20),
            )


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_outlives_its_tokens(
    autojump_clock: trio.testing.MockClock, max_concurrency: int, batch_size: int
) -> None:
    fake = fake_search_console()
    tokens = Tokens(fake, lifetime_seconds=7)
    settings = Settings(max_concurrency=max_concurrency, batch_size=batch_size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tokens.expire)
        summary = await run(fake, tokens, settings)
        nursery.cancel_scope.cancel()
    assert (summary.status, summary.days) == ("complete", 30)
    # All workers share a new one: each expiry costs one, however many were refused.
    assert tokens.given == int(autojump_clock.current_time() / 7) + 1
    assert tokens.given > 1


@pytest.mark.parametrize("batch_size", [1, 4])
async def test_a_token_that_is_refused_when_new_halts_the_run(
    autojump_clock: trio.testing.MockClock, batch_size: int
) -> None:
    fake = fake_search_console()
    given: list[str] = []

    async def source() -> str:
        await trio.lowlevel.checkpoint()
        given.append(f"useless-{len(given)}")
        return given[-1]

    summary = await run(fake, source, Settings(batch_size=batch_size))
    assert summary.status == "failed"
    assert "Invalid Credentials" in summary.reason
    assert given == ["useless-0", "useless-1"]
    assert not any(token in summary.reason for token in given)


async def test_without_a_source_a_refused_token_is_final(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = fake_search_console()
    summary = await run(fake, None, Settings(access_token="expired"))
    assert summary.status == "failed"
    assert summary.requests <= 30  # nobody tried again


async def test_a_source_that_fails_ends_the_run_with_its_own_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def source() -> Any:
        await trio.lowlevel.checkpoint()
        raise FinalError("the refresh token was revoked: sign in again")

    summary = await run(fake_search_console(), source, Settings())
    assert summary.status == "failed"
    assert "the refresh token was revoked: sign in again" in summary.reason


async def test_a_token_is_replaced_before_it_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = fake_search_console()
    given = 0

    async def source() -> AccessToken:
        nonlocal given
        await trio.sleep(0.5)
        given += 1
        fake.access_tokens = frozenset({f"token-{given}"})
        return AccessToken(f"token-{given}", lifetime_seconds=310)

    # 30 queries of 1 s, one after another, a minute apart: more than a token's life.
    tokens = AccessTokens(None, source)
    for _ in range(30):
        token = await tokens.current()
        assert token is not None
        assert {token.value} == fake.access_tokens
        await trio.sleep(60)
    # Each served for 310 - min(300, 310 / 2) seconds.
    assert given == 30 * 60 // 180


async def test_a_run_meets_no_refusal_when_the_lifetime_is_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = fake_search_console()
    tokens = Tokens(fake, lifetime_seconds=7)

    async def source() -> AccessToken:
        return AccessToken(await tokens(), lifetime_seconds=7)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tokens.expire)
        summary = await run(fake, source, Settings(max_concurrency=1, batch_size=1))
        nursery.cancel_scope.cancel()
    assert (summary.status, summary.retries) == ("complete", 0)
    assert {call.status for call in fake.calls} == {200}
    assert tokens.given > 4


async def test_while_a_renewal_fails_the_old_token_serves_to_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked: list[float] = []

    async def source() -> AccessToken:
        await trio.lowlevel.checkpoint()
        asked.append(trio.current_time())
        if len(asked) > 1:
            raise TransportError("offline")
        return AccessToken("first", lifetime_seconds=1_000)

    tokens = AccessTokens(None, source)
    began = trio.current_time()
    while trio.current_time() < began + 990:
        token = await tokens.current()
        assert token is not None
        assert token.value == "first"
        await trio.sleep(10)
    assert [round(time - began) for time in asked] == [0, *range(700, 1_000, 30)]
    await trio.sleep(20)
    with pytest.raises(TransportError, match="offline"):
        await tokens.current()


def test_a_quota_project_is_sent_with_the_token() -> None:
    assert AccessToken("x", quota_project="mine").headers == {
        "Authorization": "Bearer x",
        "x-goog-user-project": "mine",
    }


def test_a_token_is_not_shown() -> None:
    assert "s3cret" not in repr(AccessTokens("s3cret"))
    assert "s3cret" not in repr(AccessToken("s3cret"))
