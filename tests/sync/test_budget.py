from __future__ import annotations

import trio
import trio.testing

from gsc_trio.permits import Grant
from gsc_trio.sync.budget import BudgetedRateLimiter
from gsc_trio.telemetry.events import WorkerEnded


class Spent:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


async def waiting(limiter: BudgetedRateLimiter, nursery: trio.Nursery) -> None:
    nursery.start_soon(limiter.acquire, "me", "site", 5)
    await trio.testing.wait_all_tasks_blocked()


async def test_no_more_than_the_budget_is_given_and_the_last_grant_is_smaller() -> None:
    limiter, spent = BudgetedRateLimiter(), Spent()
    limiter.begin(8, spent)
    grants = [await limiter.acquire("me", "site", 5, at_least=1) for _ in range(2)]
    assert [grant.count for grant in grants] == [5, 3]
    assert not isinstance(limiter.check_rate("me", "site", 1), Grant)


async def test_permits_that_are_not_needed_go_back_to_it() -> None:
    limiter, spent = BudgetedRateLimiter(), Spent()
    limiter.begin(5, spent)
    with await limiter.acquire("me", "site", 5) as grant:
        grant.mark_sent(2)
        grant.settle(2)
    assert limiter.spent == 2
    with await limiter.acquire("me", "site", 5, at_least=1) as grant:
        assert grant.count == 3


async def test_it_is_spent_when_answers_are_handed_on_and_somebody_wants_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter, spent = BudgetedRateLimiter(), Spent()
    limiter.begin(2, spent)
    async with trio.open_nursery() as nursery:
        with await limiter.acquire("me", "site", 2) as grant:
            grant.mark_sent(2)
            grant.settle(2)
            await waiting(limiter, nursery)
            await waiting(limiter, nursery)
            limiter.handle(WorkerEnded("worker-1"))
            # Answered, but its holder may still be handing pages on.
            assert spent.times == 0
        limiter.handle(WorkerEnded("worker-1"))
        assert spent.times == 1
        nursery.cancel_scope.cancel()
    limiter.handle(WorkerEnded("worker-2"))
    assert spent.times == 1  # nobody wants more


async def test_a_budget_does_not_come_back_with_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    limiter, spent = BudgetedRateLimiter(), Spent()
    limiter.begin(2, spent)
    with await limiter.acquire("me", "site", 2) as grant:
        grant.mark_sent(2)
    await trio.sleep(80_000)
    with trio.move_on_after(100_000) as scope:
        await limiter.acquire("me", "site", 1)
    assert scope.cancelled_caught
    assert spent.times == 1
    limiter.begin(1, spent)
    assert (await limiter.acquire("me", "site", 1)).count == 1
