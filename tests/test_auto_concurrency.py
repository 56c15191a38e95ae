"""What ``max_concurrency = "auto"`` decides, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from gsc_trio.auto_concurrency import HOLD_SECONDS, AutoConcurrency
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import HIGHEST_CONCURRENCY
from gsc_trio.errors import RateLimitExceededError
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.events import BatchFinished, BatchTaken, ConcurrencyChanged, QuotaExceeded
from gsc_trio.testing import Latency, Quota
from tests.concurrent_run import Run, fake, jobs_in_order, running

QUOTA = 120
"""Queries a minute. A worker whose queries take 3.5 s asks 17 of them."""


@attrs.define(eq=False)
class CrowdedLatency(Latency):
    """Answers that take longer when more requests are out than the server likes."""

    run: Callable[[], Run] = lambda: NotImplemented
    likes: int = 100
    slower: float = 1.0

    def seconds(self, rows: int) -> float:
        factor = self.slower if self.run().watch.out > self.likes else 1.0
        return super().seconds(rows) * factor


def steps(run: Run) -> list[int]:
    return [change.current for change in run.watch.changes]


def latency(**options: Any) -> Latency:
    return Latency(seconds_per_call=3.5, seconds_per_row=0.0, **options)


async def test_it_adds_one_at_a_time_until_the_quota_is_near(
    autojump_clock: MockClock,
) -> None:
    async with running(
        fake(150, latency=latency()), "auto", days=150, queries_per_minute=QUOTA
    ) as run:
        assert run.concurrency.limit == 3
    # 5 workers ask 86 a minute, 71 %; 6 ask 103, 86 %.
    assert [change.previous for change in run.watch.changes] == [3, 4, 5]
    assert steps(run) == [4, 5, 6]
    assert [change.reason.split(" ")[0] for change in run.watch.changes] == ["43%", "57%", "71%"]
    assert run.watch.changes[0].reason == "43% of the quota is used, and answers come as fast"
    assert run.jobs == jobs_in_order(150)


@pytest.mark.parametrize("seed", range(3))
async def test_answers_that_vary_are_not_slower_answers(
    autojump_clock: MockClock, seed: int
) -> None:
    server = fake(150, latency=latency(jitter=0.3, seed=seed))
    async with running(server, "auto", days=150, queries_per_minute=QUOTA) as run:
        pass
    assert steps(run) in ([4, 5, 6], [4, 5, 6, 7])  # 86 % may look like less than 80 %


async def test_smaller_batches_are_not_slower_answers(
    autojump_clock: MockClock,
) -> None:
    server = fake(60, latency=Latency(seconds_per_call=3.5, parallel_parts=True))
    async with running(server, "auto", days=60, batch_size=5, max_in_flight=12) as run:
        pass
    assert steps(run)[:3] == [4, 5, 6]
    assert all(change.current > change.previous for change in run.watch.changes)


async def test_the_last_one_leaves_when_answers_become_slower(
    autojump_clock: MockClock,
) -> None:
    slow = CrowdedLatency(
        seconds_per_call=7, seconds_per_row=0.0, run=lambda: run, likes=4, slower=1.5
    )
    async with running(fake(160, latency=slow), "auto", days=160) as run:
        pass
    changed_at = run.watch.changed_at
    assert steps(run)[:5] == [4, 5, 4, 5, 4]
    assert run.watch.changes[2].reason == "answers take 50% longer than with 3 workers"
    assert changed_at[2] - changed_at[0] < 120
    assert HOLD_SECONDS <= changed_at[3] - changed_at[2] < HOLD_SECONDS + 120
    assert run.jobs == jobs_in_order(160)


async def test_half_of_them_leave_at_once_when_google_refuses(autojump_clock: MockClock) -> None:
    # Somebody else uses half of the quota.
    server = fake(150, latency=latency(), quota=Quota(queries_per_minute=QUOTA // 2))
    async with running(server, "auto", days=150, queries_per_minute=QUOTA) as run:
        pass
    back = next(change for change in run.watch.changes if change.current < change.previous)
    assert back.current == back.previous // 2
    assert back.reason.startswith("Google refused ")
    assert back.reason.endswith(": too many")
    assert run.jobs == jobs_in_order(150)


async def test_nobody_is_added_when_there_is_no_work_left(autojump_clock: MockClock) -> None:
    async with running(fake(4, latency=latency()), "auto", days=4, batch_size=1) as run:
        pass
    assert steps(run) == []


async def test_a_number_ends_it_and_auto_begins_it_again(autojump_clock: MockClock) -> None:
    async with running(fake(150, latency=latency()), 4, days=150, queries_per_minute=QUOTA) as run:
        await trio.sleep(60)
        assert steps(run) == []
        run.concurrency.change("auto", "try it")
        await trio.sleep(25)
        found_out = steps(run)
        assert found_out[0] == 5
        run.concurrency.change(2, "enough of it")
        assert run.concurrency.setting == 2
    assert steps(run) == [*found_out, 2]


# One by one, without a run.


@attrs.define(eq=False)
class Bench:
    """A controller that is told what happens."""

    concurrency: Concurrency = attrs.field(factory=lambda: Concurrency("auto"))
    limiter: RateLimiter = attrs.field(factory=lambda: RateLimiter(queries_per_minute=100_000))
    automatic: AutoConcurrency = attrs.field(init=False)
    following: AbstractContextManager[None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.automatic = AutoConcurrency(self.concurrency, self.limiter, "me", "site")
        self.following = self.concurrency.followed_by(self._tell)
        self.following.__enter__()
        self.automatic.handle(BatchTaken("worker-1", jobs=10, queue_depth=900, in_flight=30))

    def _tell(self, previous: int, reason: str) -> None:
        self.automatic.handle(ConcurrencyChanged(previous, self.concurrency.limit, reason))

    async def finish(self, batches: int, *, seconds: float = 10.0, failed: int = 0) -> None:
        """So many batches of 10 queries that took so long."""
        await trio.sleep(seconds)
        for _ in range(batches):
            self.automatic.handle(BatchFinished("worker-1", 10, failed, seconds))

    async def be_refused(self, *, seconds: float = 1.0, batches: int = 1) -> None:
        await trio.sleep(seconds)
        for _ in range(batches):
            self.automatic.handle(BatchFinished("worker-1", 10, 10, seconds))
            error = RateLimitExceededError("too fast", status=429)
            self.automatic.handle(QuotaExceeded("user me", 10, error))


async def test_a_round_needs_a_batch_for_each_worker(autojump_clock: MockClock) -> None:
    bench = Bench()
    await bench.finish(2)
    assert bench.concurrency.limit == 3
    await bench.finish(1)
    assert bench.concurrency.limit == 4


async def test_a_round_takes_at_least_five_seconds(autojump_clock: MockClock) -> None:
    bench = Bench()
    await bench.finish(50, seconds=1)
    assert bench.concurrency.limit == 3
    await bench.finish(1, seconds=4)
    assert bench.concurrency.limit == 4


async def test_batches_of_before_or_that_failed_tell_nothing(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    await bench.finish(3)
    await trio.sleep(5)
    bench.concurrency.adapt(5, "by the test")
    await bench.finish(1, seconds=0)
    for _ in range(9):
        bench.automatic.handle(BatchFinished("worker-1", 10, 0, 3.0))
    await bench.finish(9, failed=1)
    assert bench.concurrency.limit == 5
    await bench.finish(5)
    assert bench.concurrency.limit == 6


async def test_all_that_is_refused_at_once_counts_once(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.concurrency.adapt(12, "by the test")
    await bench.be_refused(batches=12)
    assert bench.concurrency.limit == 6
    await bench.be_refused()
    assert bench.concurrency.limit == 3
    await bench.be_refused()
    await bench.be_refused()
    assert bench.concurrency.limit == 1


async def test_after_a_refusal_nobody_is_added_for_five_minutes(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.concurrency.adapt(4, "by the test")
    await bench.be_refused()
    for _ in range(29):
        await bench.finish(2)
        assert bench.concurrency.limit == 2
    await bench.finish(2)
    await bench.finish(2)
    assert bench.concurrency.limit == 3


async def test_what_others_use_of_the_quota_counts(autojump_clock: MockClock) -> None:
    bench = Bench(limiter=RateLimiter(queries_per_minute=1_000))
    with await bench.limiter.acquire("me", "another site", 800):
        await bench.finish(3)
        assert bench.concurrency.limit == 3
    await bench.finish(3)
    assert bench.concurrency.limit == 4


async def test_it_stops_where_the_setting_does(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.concurrency.adapt(HIGHEST_CONCURRENCY, "by the test")
    await bench.finish(HIGHEST_CONCURRENCY)
    await bench.finish(HIGHEST_CONCURRENCY)
    assert bench.concurrency.limit == HIGHEST_CONCURRENCY


async def test_a_number_that_somebody_gave_stays(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.concurrency.change(5, "by hand")
    await bench.finish(50)
    await bench.be_refused()
    assert bench.concurrency.limit == 5


async def test_its_decisions_follow_from_what_it_was_told(autojump_clock: MockClock) -> None:
    async def decide() -> list[ConcurrencyChanged]:
        bench, told = Bench(), []

        def note(previous: int, reason: str) -> None:
            told.append(ConcurrencyChanged(previous, bench.concurrency.limit, reason))

        with bench.concurrency.followed_by(note):
            for seconds in (10, 10, 10, 30, 10, 10):
                await bench.finish(20, seconds=seconds)
            await bench.be_refused()
        return told

    decisions = await decide()
    assert [each.current for each in decisions] == [4, 5, 6, 5, 2]
    assert decisions == await decide()


async def test_what_is_slow_for_five_minutes_is_what_later_rounds_are_held_against(
    autojump_clock: MockClock,
) -> None:
    bench = Bench()
    await bench.finish(3)
    await bench.finish(4, seconds=20)
    for _ in range(14):
        await bench.finish(4, seconds=20)
        assert bench.concurrency.limit == 3
    for _ in range(3):
        await bench.finish(4, seconds=20)
    assert bench.concurrency.limit > 3
