"""What was sent lately counts in the next process too."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import StorageError
from gsc_trio.machine_clock import Moment, machine_moment
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.permits import CANCEL_GRACE_SECONDS, Grant
from gsc_trio.quota_journal import MOST_TRIES, SEND_WITHIN_SECONDS, QuotaJournal
from gsc_trio.quota_window import CLOCK_DRIFT
from gsc_trio.rate_limiter import Limited, RateLimiter
from gsc_trio.store.base import GrantKey, NoStore, RecordedGrant
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.telemetry.events import Event, WorkerCrashed
from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    Quota,
    SimulatedProperty,
    open_streaming_transport,
)

SITE = "sc-domain:example.com"
LIMIT = 10
HELD_SECONDS = 60 * CLOCK_DRIFT


@attrs.define(eq=False)
class Journals(NoStore):
    """A store of grants alone, which survives its processes."""

    grants: dict[GrantKey, RecordedGrant] = attrs.field(factory=dict)

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        await trio.lowlevel.checkpoint()
        return list(self.grants.values())

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        await trio.lowlevel.checkpoint()
        for key in forget:
            self.grants.pop(key, None)
        self.grants.update({grant.key: grant for grant in grants})


def now() -> Moment:
    """The machine's clocks in virtual time."""
    return Moment(1e9 + trio.current_time(), trio.current_time(), "a boot")


def limiter() -> RateLimiter:
    """A new process has a new one."""
    return RateLimiter(queries_per_minute=LIMIT, clock=now)


def take(limiter: RateLimiter, count: int) -> Grant:
    grant = limiter.check_rate("me", SITE, count)
    assert isinstance(grant, Grant)
    return grant


def available(limiter: RateLimiter, *, user: str = "me", site: str = SITE) -> int:
    """How many permits can be had now."""
    for count in range(LIMIT, 0, -1):
        grant = limiter.check_rate(user, site, count)
        if isinstance(grant, Grant):
            grant.close()
            return count
    return 0


async def run_once(
    store: Journals, count: int, *, answered: bool = True, sent: list[float] | None = None
) -> None:
    """A process that sends queries and ends well, or dies before they are answered."""
    process = limiter()
    journal = QuotaJournal(store, process)
    await journal.restore()
    with trio.CancelScope() as scope:
        with await process.acquire("me", SITE, count, at_least=1) as grant:
            async with journal.recorded(grant, grant.count, user="me", site_url=SITE):
                await grant.confirm()
                grant.mark_sent(grant.count)
                if sent is not None:
                    sent += [trio.current_time()] * grant.count
                if not answered:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
                grant.settle(grant.count)
        await journal.close(deadline=math.inf)


async def test_the_next_process_counts_what_the_last_one_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = Journals()
    await run_once(store, 7)
    await trio.sleep(20)
    restarted = limiter()
    await QuotaJournal(store, restarted).restore()
    assert available(restarted) == LIMIT - 7
    assert available(restarted, user="someone else") == LIMIT - 7  # the site's quota
    assert available(restarted, site="sc-domain:other.example") == LIMIT - 7  # the user's
    await trio.sleep(HELD_SECONDS - 20 - 0.01)
    assert available(restarted) == LIMIT - 7
    await trio.sleep(0.02)
    assert available(restarted) == LIMIT


async def test_queries_that_were_out_when_a_process_died_count_from_the_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = Journals()
    await run_once(store, 7, answered=False)
    assert [grant.answered for grant in store.grants.values()] == [None]
    await trio.sleep(300)
    restarted = limiter()
    await QuotaJournal(store, restarted).restore()
    await trio.sleep(HELD_SECONDS + SEND_WITHIN_SECONDS + CANCEL_GRACE_SECONDS - 0.01)
    assert available(restarted) == LIMIT - 7
    await trio.sleep(0.02)
    assert available(restarted) == LIMIT


async def test_in_a_row_of_crashes_permits_come_back_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = Journals()
    await run_once(store, 7, answered=False)
    await trio.sleep(30)
    counted_from = trio.current_time() + SEND_WITHIN_SECONDS + CANCEL_GRACE_SECONDS
    await run_once(store, 1, answered=False)
    await trio.sleep(30)
    restarted = limiter()
    await QuotaJournal(store, restarted).restore()
    assert available(restarted) == LIMIT - 7 - 1
    await trio.sleep_until(counted_from + HELD_SECONDS - 0.01)
    assert available(restarted) == LIMIT - 7 - 1
    await trio.sleep(0.02)
    assert available(restarted) == LIMIT - 1  # the second crash was later


async def test_queries_that_were_given_up_keep_their_grace_over_a_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, process = Journals(), limiter()
    journal = QuotaJournal(store, process)
    with take(process, 7) as grant:
        async with journal.recorded(grant, 7, user="me", site_url=SITE):
            grant.mark_sent(7)  # and no answer comes
    await journal.close(deadline=math.inf)
    restarted = limiter()
    await QuotaJournal(store, restarted).restore()
    await trio.sleep(HELD_SECONDS + CANCEL_GRACE_SECONDS - 0.01)
    assert available(restarted) == LIMIT - 7
    await trio.sleep(0.02)
    assert available(restarted) == LIMIT


async def test_a_clock_that_was_set_back_holds_nothing_for_longer_than_a_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = Journals()
    await run_once(store, 7)
    for key, grant in store.grants.items():
        later = Moment(2e9, 3.0, "an earlier boot")
        store.grants[key] = attrs.evolve(grant, answered=later)
    restarted = limiter()
    await QuotaJournal(store, restarted).restore()
    assert available(restarted) == LIMIT - 7
    await trio.sleep(HELD_SECONDS + SEND_WITHIN_SECONDS + CANCEL_GRACE_SECONDS + 0.01)
    assert available(restarted) == LIMIT


async def test_nothing_is_sent_before_it_is_recorded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Broken(Journals):
        async def record_grants(self, *_: Any, **__: Any) -> None:
            raise StorageError("the disk is full")

    process = limiter()
    journal = QuotaJournal(Broken(), process)
    with take(process, 1) as grant, pytest.raises(StorageError, match="the disk is full"):
        async with journal.recorded(grant, 1, user="me", site_url=SITE):
            pytest.fail("it was sent")
    assert available(process) == LIMIT


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_journal_that_cannot_be_written_fails_the_run_and_crashes_nobody(
    max_concurrency: int,
) -> None:
    class Broken(Journals):
        async def record_grants(self, *_: Any, **__: Any) -> None:
            raise StorageError("the disk is full")

    crashes = []

    class Watch:
        def handle(self, event: Event) -> None:
            if isinstance(event, WorkerCrashed):
                crashes.append(event)

    fake = FakeSearchConsole([SimulatedProperty(SITE)], latency=Latency(scale=0))
    settings = Settings(api_root="http://fake.example", max_concurrency=max_concurrency)
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(settings, transport=transport) as client,
    ):
        summary = await backfill(
            client,
            SearchAnalyticsQuery(SITE),
            Broken(),
            start=dt.date(2026, 6, 1),
            end=dt.date(2026, 6, 9),
            today=dt.date(2026, 6, 20),
            instruments=[Watch()],
        )
    assert (summary.status, summary.reason) == ("failed", "the disk is full")
    assert (fake.calls, crashes) == ([], [])


async def test_a_limiter_does_not_count_its_own_grants_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, process = Journals(), limiter()
    for _ in range(2):  # two runs of one program
        journal = QuotaJournal(store, process)
        await journal.restore()
        with take(process, 3) as grant:
            async with journal.recorded(grant, 3, user="me", site_url=SITE):
                grant.mark_sent(3)
                grant.settle(3)
        await journal.close(deadline=math.inf)
    assert available(process) == LIMIT - 6


async def test_the_journal_forgets_what_is_over(autojump_clock: trio.testing.MockClock) -> None:
    store = Journals()
    for _ in range(30):
        await run_once(store, 1)
        await trio.sleep(15)
    # Within 60 seconds 15 apart there are 5; what ends with its process waits for the next one.
    assert len(store.grants) <= 6


async def test_a_crash_loop_stays_within_the_quota(autojump_clock: trio.testing.MockClock) -> None:
    """A program that dies in the middle of every batch, and is started again at once."""
    store = Journals()
    sent: list[float] = []
    for _ in range(40):
        await run_once(store, 3, answered=False, sent=sent)
    assert len(sent) >= 40
    for first in sent:
        assert sum(first <= each < first + 60 for each in sent) <= LIMIT


def test_the_monotonic_clock_counts_as_long_as_the_machine_runs() -> None:
    early = Moment(1_000.0, 50.0, "boot 1")
    assert early.seconds_until(Moment(90_000.0, 60.0, "boot 1")) == 10  # the wall clock was set
    assert early.seconds_until(Moment(1_030.0, 3.0, "boot 2")) == 30  # started anew
    assert early.seconds_until(Moment(500.0, 3.0, "boot 2")) == -500  # both
    assert Moment(1_000.0, 50.0, "").seconds_until(Moment(1_020.0, 50.0, "")) == 20  # unknown


def test_a_clock_that_stood_still_hides_nothing_that_the_other_saw() -> None:
    early = Moment(1_000.0, 50.0, "boot 1")
    assert early.most_seconds_until(Moment(1_090.0, 51.0, "boot 1")) == 90
    assert early.most_seconds_until(Moment(900.0, 140.0, "boot 1")) == 90


def test_the_machine_has_a_clock() -> None:
    first = machine_moment()
    second = machine_moment()
    assert 0 <= first.seconds_until(second) < 5
    assert first.plus(3).seconds_until(second.plus(8)) >= 5


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_leaves_its_grants_in_the_database_for_the_next(
    tmp_path: Any, max_concurrency: int
) -> None:
    fake = FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=3)])
    query = SearchAnalyticsQuery(SITE)
    settings = Settings(max_concurrency=max_concurrency, batch_size=2)
    end = dt.date(2026, 6, 17)
    start = end - dt.timedelta(days=6)
    async with open_streaming_transport(fake) as transport:
        async with (
            open_sqlite_store(tmp_path / "gsc.db") as store,
            open_search_console(settings, transport=transport) as client,
        ):
            summary = await backfill(
                client, query, store, start=start, end=end, today=dt.date(2026, 6, 20)
            )
            assert (summary.status, summary.requests) == ("complete", 7)
        async with open_sqlite_store(tmp_path / "gsc.db") as store:
            grants = await store.recent_grants()
            assert sum(grant.queries for grant in grants) == 7
            assert all(grant.answered for grant in grants)
            small = attrs.evolve(settings, queries_per_minute=7)
            async with open_search_console(small, transport=transport) as client:
                await QuotaJournal(store, client.limiter).restore()
                limited = client.limiter.check_rate(client.user, SITE)
    assert isinstance(limited, Limited)
    assert 50 < limited.wait_seconds <= HELD_SECONDS


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_runs_one_after_another_stay_within_the_quota_as_the_server_counts(
    autojump_clock: trio.testing.MockClock,
    max_concurrency: int,
) -> None:
    store = Journals()
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=3)],
        quota=Quota(queries_per_minute=LIMIT),
        latency=Latency(seconds_per_call=0.2),
    )
    settings = Settings(max_concurrency=max_concurrency, batch_size=3, queries_per_minute=LIMIT)
    end = dt.date(2026, 6, 17)
    async with open_streaming_transport(fake) as transport:
        for _ in range(6):
            limiter = RateLimiter(queries_per_minute=LIMIT, clock=now)
            async with open_search_console(
                settings, transport=transport, limiter=limiter
            ) as client:
                summary = await backfill(
                    client,
                    SearchAnalyticsQuery(SITE),
                    store,
                    start=end - dt.timedelta(days=6),
                    end=end,
                    today=dt.date(2026, 6, 20),
                )
            assert summary.status == "complete"
    assert fake.quota.refused == 0
    assert fake.quota.peak_queries_per_minute == LIMIT


@attrs.define(eq=False)
class TakenOverMeanwhile(Journals):
    """A store of a process that is stopped while it writes, and replaced before it goes on."""

    seconds: float = 0.0

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        if self.grants:
            raise StorageError("taken over")
        await super().record_grants(grants, forget=forget)
        await trio.sleep(self.seconds)


async def test_what_took_long_to_write_down_is_written_again_before_it_is_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    sent: list[float] = []
    with pytest.raises(StorageError, match="taken over"):
        await run_once(TakenOverMeanwhile(seconds=SEND_WITHIN_SECONDS), 7, sent=sent)
    assert sent == []
    with suppress(StorageError):  # the answer cannot be written down any more
        await run_once(TakenOverMeanwhile(seconds=SEND_WITHIN_SECONDS - 0.1), 7, sent=sent)
    assert len(sent) == 7


async def test_a_store_that_is_always_too_slow_is_not_asked_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    commits = []

    class Slow(Journals):
        async def record_grants(self, *_: Any, **__: Any) -> None:
            await trio.sleep(SEND_WITHIN_SECONDS)
            commits.append(trio.current_time())

    sent: list[float] = []
    with pytest.raises(StorageError, match="took more than 5 seconds"):
        await run_once(Slow(), 7, sent=sent)
    assert sent == []
    assert len(commits) == 1 + MOST_TRIES
