"""The rate limiter's promises, in virtual time, with a server that counts for itself."""

from __future__ import annotations

from collections import deque

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_trio.errors import LoadQuotaExceededError, RateLimitExceededError
from gsc_trio.permits import CANCEL_GRACE_SECONDS, Grant
from gsc_trio.quota_window import CLOCK_DRIFT
from gsc_trio.rate_limiter import MANY_KEYS, Limited, RateLimiter
from gsc_trio.telemetry.events import Event, QuotaApproaching, QuotaPaused
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.testing.virtual_time import run_in_virtual_time

SITE = "sc-domain:example.com"
MINUTE = 60 * CLOCK_DRIFT


@attrs.define
class CountingServer:
    """Counts queries when they arrive, as Google does."""

    arrivals: deque[float] = attrs.field(factory=deque)
    peak: int = 0
    total: int = 0

    def receive(self, window_seconds: float = 60.0) -> None:
        now = trio.current_time()
        self.arrivals.append(now)
        while self.arrivals[0] <= now - window_seconds:
            self.arrivals.popleft()
        self.peak = max(self.peak, len(self.arrivals))
        self.total += 1


@attrs.define
class Recorder:
    """An instrument that keeps what it hears."""

    events: list[Event] = attrs.field(factory=list)

    def handle(self, event: Event) -> None:
        self.events.append(event)


def granted(decision: Grant | Limited) -> Grant:
    assert isinstance(decision, Grant), decision
    return decision


def limited(decision: Grant | Limited) -> Limited:
    assert isinstance(decision, Limited)
    return decision


async def test_grants_up_to_the_limit_and_says_how_long_to_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=10)
    with granted(limiter.check_rate("me", SITE, 10)) as grant:
        grant.mark_sent(10)
        await trio.sleep(2)
        grant.settle(10)
    refusal = limited(limiter.check_rate("me", SITE, 1))
    assert refusal.wait_seconds == pytest.approx(MINUTE)
    assert refusal.reason == "quota"
    await trio.sleep(MINUTE - 0.1)
    limited(limiter.check_rate("me", SITE, 1))
    await trio.sleep(0.1001)
    granted(limiter.check_rate("me", SITE, 10)).close()


async def test_permits_of_a_grant_that_was_not_sent_come_back_at_once() -> None:
    limiter = RateLimiter(queries_per_minute=10)
    with granted(limiter.check_rate("me", SITE, 10)):
        pass
    granted(limiter.check_rate("me", SITE, 10)).close()


async def test_permits_that_were_not_needed_come_back_when_the_rest_is_sent() -> None:
    limiter = RateLimiter(queries_per_minute=10)
    with granted(limiter.check_rate("me", SITE, 10)) as grant:
        grant.mark_sent(4)
        granted(limiter.check_rate("me", SITE, 6)).close()
        limited(limiter.check_rate("me", SITE, 7))


async def test_a_sent_query_without_answer_is_held_for_the_window_and_the_grace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=1)
    with granted(limiter.check_rate("me", SITE)) as grant:
        grant.mark_sent(1)
    await trio.sleep(MINUTE + CANCEL_GRACE_SECONDS - 0.01)
    limited(limiter.check_rate("me", SITE))
    await trio.sleep(0.0101)
    granted(limiter.check_rate("me", SITE)).close()


@given(
    latencies=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=8),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    limit=st.sampled_from([20, 60, 120]),
    workers=st.integers(1, 8),
    burst=st.sampled_from([None, 3, 10]),
)
@settings(max_examples=60, deadline=None)
def test_the_server_never_counts_more_than_the_limits(
    latencies: list[float], sizes: list[int], limit: int, workers: int, burst: int | None
) -> None:
    minute, second = CountingServer(), CountingServer()

    async def run() -> None:
        limiter = RateLimiter(queries_per_minute=limit, burst_queries_per_second=burst)

        async def work(number: int) -> None:
            for turn in range(8):
                size = sizes[(number + turn) % len(sizes)]
                latency = latencies[(number * 3 + turn) % len(latencies)]
                with await limiter.acquire("me", SITE, size, at_least=1) as grant:
                    assert 1 <= grant.count <= size
                    grant.mark_sent(grant.count)
                    # The server may count at any instant between sending and the answer.
                    arrival = latency * ((number + turn) % 3) / 2
                    await trio.sleep(arrival)
                    for _ in range(grant.count):
                        minute.receive()
                        second.receive(1.0)
                    await trio.sleep(latency - arrival)
                    if (number + turn) % 5:  # every fifth answer is lost
                        grant.settle(grant.count)

        async with trio.open_nursery() as nursery:
            for number in range(workers):
                nursery.start_soon(work, number)

    run_in_virtual_time(run)
    assert minute.peak <= limit
    assert second.peak <= (burst or limit)


@pytest.mark.parametrize(("workers", "batch"), [(24, 1), (3, 50), (10, 50), (5, 7)])
async def test_saturated_it_uses_at_least_97_percent_of_the_quota(
    workers: int, batch: int, autojump_clock: trio.testing.MockClock
) -> None:
    limiter = RateLimiter(queries_per_minute=1_200)
    server = CountingServer()

    async def work() -> None:
        while True:
            with await limiter.acquire("me", SITE, batch, at_least=1) as grant:
                grant.mark_sent(grant.count)
                for _ in range(grant.count):
                    server.receive()
                await trio.sleep(0.35)
                grant.settle(grant.count)

    # Permits come in bursts, so that in ten minutes a window of 66 s would be as good as one of 60.
    with trio.move_on_after(40 * 60):
        async with trio.open_nursery() as nursery:
            for _ in range(workers):
                nursery.start_soon(work)
    assert server.peak <= 1_200
    assert server.total >= 0.97 * 1_200 * 40


async def test_waiters_are_served_in_the_order_of_arrival_and_small_ones_do_not_overtake(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=10)
    order: list[int] = []

    async def work(name: int, count: int) -> None:
        with await limiter.acquire("me", SITE, count) as grant:
            order.append(name)
            grant.mark_sent(count)
            grant.settle(count)

    async with trio.open_nursery() as nursery:
        for name, count in enumerate([6, 9, 1, 1, 10, 2]):
            nursery.start_soon(work, name, count)
            await trio.testing.wait_all_tasks_blocked()
        limited(limiter.check_rate("me", SITE, 1))  # nor does one that does not wait
    assert order == [0, 1, 2, 3, 4, 5]


async def test_a_cancelled_waiter_takes_nothing_and_lets_the_next_one_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=10)
    holder = granted(limiter.check_rate("me", SITE, 5))
    scope_of_large = trio.CancelScope()
    small_is_served = trio.Event()

    async def large() -> None:
        with scope_of_large, await limiter.acquire("me", SITE, 10):
            raise AssertionError("it was cancelled")

    async def small() -> None:
        with await limiter.acquire("me", SITE, 5):
            small_is_served.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(large)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(small)
        await trio.testing.wait_all_tasks_blocked()
        assert not small_is_served.is_set()
        scope_of_large.cancel()
        await small_is_served.wait()
    holder.close()
    granted(limiter.check_rate("me", SITE, 10)).close()


async def test_permits_are_taken_from_all_keys_or_none() -> None:
    limiter = RateLimiter(queries_per_minute=10)
    granted(limiter.check_rate("me", "sc-domain:a.example", 10))
    refusal = limited(limiter.check_rate("me", "sc-domain:b.example", 1))
    assert refusal.key == "user me"
    # The other site lost nothing by the refusal.
    granted(limiter.check_rate("you", "sc-domain:b.example", 10))


async def test_one_user_that_waits_holds_up_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=10, project_queries_per_minute=40)
    granted(limiter.check_rate("me", "sc-domain:a.example", 10))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire, "me", "sc-domain:a.example", 1)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(1):
            with await limiter.acquire("you", "sc-domain:b.example", 10):
                pass
        nursery.cancel_scope.cancel()


async def test_the_project_limit_is_shared_first_come_first_served(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=10, project_queries_per_minute=15)
    order: list[str] = []

    async def work(user: str, count: int) -> None:
        with await limiter.acquire(user, f"sc-domain:{user}.example", count) as grant:
            order.append(user)
            grant.mark_sent(count)
            grant.settle(count)

    async with trio.open_nursery() as nursery:
        for user, count in [("a", 10), ("b", 10), ("c", 1), ("d", 10)]:
            nursery.start_soon(work, user, count)
            await trio.testing.wait_all_tasks_blocked()
    assert order == ["a", "b", "c", "d"]
    assert trio.current_time() == pytest.approx(2 * MINUTE)


async def test_more_than_a_limit_is_refused_at_once_rather_than_waited_for() -> None:
    limiter = RateLimiter(queries_per_minute=10)
    with pytest.raises(ValueError, match="can never be granted"):
        await limiter.acquire("me", SITE, 11)
    with await limiter.acquire("me", SITE, 11, at_least=1) as grant:
        assert grant.count == 10


async def test_use_of_80_percent_is_told_once_until_it_falls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = Recorder()
    limiter = RateLimiter(queries_per_minute=10, instruments=Instruments([recorder]))

    def told() -> list[str]:
        return [event.key for event in recorder.events if isinstance(event, QuotaApproaching)]

    for _ in range(7):
        with granted(limiter.check_rate("me", SITE)) as grant:
            grant.mark_sent(1)
            grant.settle()
    assert told() == []
    for _ in range(3):
        with granted(limiter.check_rate("me", SITE)) as grant:
            grant.mark_sent(1)
            grant.settle()
    assert told() == [f"site {SITE}", "user me"]
    await trio.sleep(MINUTE)
    granted(limiter.check_rate("me", SITE)).close()
    granted(limiter.check_rate("me", SITE, 9)).close()
    assert told() == [f"site {SITE}", "user me"] * 2


async def test_too_fast_pauses_the_key_for_everyone_and_doubles_until_an_answer_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = Recorder()
    limiter = RateLimiter(pause_initial_seconds=2, instruments=Instruments([recorder]))
    error = RateLimitExceededError("too fast", status=403, reason="quotaExceeded")
    first, second = (granted(limiter.check_rate("me", SITE)) for _ in range(2))
    await trio.sleep(0.1)
    assert limiter.pause_for_rate("me", first, error) == 2
    # The second left before the pause: its refusal is no news.
    assert limiter.pause_for_rate("me", second, error) == 2
    refusal = limited(limiter.check_rate("me", "sc-domain:other.example"))
    assert (refusal.reason, refusal.wait_seconds) == ("paused", 2)
    third = await limiter.acquire("me", SITE)
    assert trio.current_time() == pytest.approx(2.1)
    assert limiter.pause_for_rate("me", third, error) == pytest.approx(4)
    fourth = await limiter.acquire("me", SITE)
    limiter.note_success("me", fourth)
    await trio.sleep(0.1)
    fifth = granted(limiter.check_rate("me", SITE))
    assert limiter.pause_for_rate("me", fifth, error) == pytest.approx(2)
    assert sum(isinstance(event, QuotaPaused) for event in recorder.events) == 3


async def test_retry_after_is_honoured(autojump_clock: trio.testing.MockClock) -> None:
    limiter = RateLimiter(pause_initial_seconds=2)
    error = RateLimitExceededError("slow down", status=429, retry_after_seconds=30)
    grant = granted(limiter.check_rate("me", SITE))
    assert limiter.pause_for_rate("me", grant, error) == 30


async def test_after_the_load_quota_one_query_probes_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter()
    error = LoadQuotaExceededError("load quota exceeded", status=403)
    grants = [granted(limiter.check_rate("me", SITE, 50)) for _ in range(2)]
    for grant in grants:
        limiter.pause_for_load("me", grant, error, 900)
    probe = await limiter.acquire("me", SITE, 50)
    assert trio.current_time() == 900
    assert (probe.count, probe.is_probe) == (1, True)
    limited(limiter.check_rate("me", SITE))
    limiter.note_success("me", grants[0])  # an answer from before the pause proves nothing
    limited(limiter.check_rate("me", SITE))
    limiter.note_success("me", probe)
    assert not granted(limiter.check_rate("me", SITE, 50)).is_probe


async def test_a_probe_that_ends_without_an_answer_makes_way_for_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter()
    error = LoadQuotaExceededError("load quota exceeded", status=403)
    limiter.pause_for_load("me", granted(limiter.check_rate("me", SITE)), error, 900)
    with await limiter.acquire("me", SITE) as probe:
        assert probe.is_probe
    with await limiter.acquire("me", SITE) as probe:
        assert probe.is_probe


async def test_a_pause_does_not_grow_as_long_as_some_queries_get_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=20)
    error = RateLimitExceededError("too fast", status=403)
    for _ in range(10):
        answered = await limiter.acquire("me", SITE, 10)
        refused = await limiter.acquire("me", SITE, 10)
        await trio.sleep(0.1)
        # The refusal comes first, although the other batch left before it and was answered.
        pause = limiter.pause_for_rate("me", refused, error)
        limiter.note_success("me", answered)
        answered.close()
        refused.close()
        assert pause < 2.01
        assert limiter.pauses_in_a_row("me") == 1


async def test_queries_that_are_given_up_may_arrive_four_seconds_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=10)
    with await limiter.acquire("me", SITE, 10) as grant:
        grant.mark_sent(10)
    late_arrival = trio.current_time() + 4
    with await limiter.acquire("me", SITE, 10) as grant:
        assert trio.current_time() - late_arrival >= 60


async def test_a_waiter_is_served_sooner_when_an_answer_comes_that_brings_permits_back_sooner(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=2)
    given_up, answered = (granted(limiter.check_rate("me", SITE)) for _ in range(2))
    given_up.mark_sent(1)
    given_up.close()  # comes back at MINUTE + CANCEL_GRACE_SECONDS
    async with trio.open_nursery() as nursery:
        nursery.start_soon(limiter.acquire, "me", SITE)
        await trio.sleep(1)
        answered.settle()
    assert trio.current_time() == pytest.approx(1 + MINUTE)


async def test_a_waiter_is_not_woken_by_what_cannot_serve_it_sooner() -> None:
    with trio.fail_after(5):
        limiter = RateLimiter(queries_per_minute=10)
        with granted(limiter.check_rate("me", SITE, 10)) as grant:
            grant.mark_sent(10)
            grant.settle()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(limiter.acquire, "me", SITE)
                await trio.testing.wait_all_tasks_blocked()
                limited(limiter.check_rate("me", SITE))
                grant.settle(9)
                # Whoever is woken becomes runnable at once.
                assert trio.lowlevel.current_statistics().tasks_runnable == 0
                nursery.cancel_scope.cancel()


async def test_keys_of_sites_that_were_asked_about_long_ago_are_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter = RateLimiter(queries_per_minute=5, project_queries_per_minute=1_000_000)
    with await limiter.acquire("me", "busy", 5) as held:
        held.mark_sent(5)
        for number in range(3 * MANY_KEYS):
            for user in ("you", "they"):
                with await limiter.acquire(user, f"site {number}") as grant:
                    grant.mark_sent(1)
                    grant.settle()
            await trio.sleep(15)
        assert len(limiter._keys) <= MANY_KEYS + 1
        # What is held or was used within the minute is still counted.
        assert isinstance(limiter.check_rate("someone", "busy"), Limited)
        assert isinstance(limiter.check_rate("someone", f"site {number}", 4), Limited)
        assert isinstance(limiter.check_rate("you", "fresh", 5), Limited)
