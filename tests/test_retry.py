"""What is done about failures, by reason."""

from __future__ import annotations

import datetime as dt
import random

import pytest
import trio
import trio.testing

from gsc_trio.client import Failure
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.errors import (
    ApiError,
    BackendError,
    DailyLimitExceededError,
    LoadQuotaExceededError,
    PermissionDeniedError,
    RateLimitExceededError,
    TransportError,
    UnauthenticatedError,
)
from gsc_trio.model import Halt, Job
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import Limited, RateLimiter
from gsc_trio.retry import RetryPolicy
from gsc_trio.telemetry.instrument import Instruments

SITE = "sc-domain:example.com"
JOBS = [Job(dt.date(2026, 3, number)) for number in (3, 2, 1)]


class Bench:
    """A policy with its limiter."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.limiter = RateLimiter.from_settings(settings)
        self.policy = RetryPolicy(
            SITE,
            "me",
            settings,
            Concurrency(settings.max_concurrency),
            self.limiter,
            Instruments(),
            random.Random(1).uniform,
        )

    def grant(self, count: int = 1) -> Grant:
        grant = self.limiter.check_rate("me", SITE, count)
        assert isinstance(grant, Grant)
        return grant

    def judge(
        self, *errors: ApiError, grant: Grant | None = None, in_a_row: int = 1
    ) -> Halt | float:
        failures = [Failure(job, error) for job, error in zip(JOBS, errors, strict=False)]
        return self.policy.judge(failures, grant or self.grant(), in_a_row)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (PermissionDeniedError("no permission", status=403), "check the property's name"),
        (UnauthenticatedError("bad credentials", status=401), "get a new access token"),
        (DailyLimitExceededError("daily limit", status=403), ""),
    ],
)
async def test_a_final_error_halts_and_names_property_date_and_googles_words(
    error: ApiError, advice: str
) -> None:
    verdict = Bench().judge(BackendError("oops", status=500), error)
    assert isinstance(verdict, Halt)
    assert verdict.status == "failed"
    for words in (SITE, "2026-03-02", error.message, advice):
        assert words in verdict.reason


async def test_too_fast_pauses_all_workers_and_no_worker_backs_off_by_itself() -> None:
    bench = Bench()
    error = RateLimitExceededError("QPS quota exceeded", status=403, reason="quotaExceeded")
    assert bench.judge(BackendError("oops", status=500), error) == 0
    refusal = bench.limiter.check_rate("me", SITE)
    assert isinstance(refusal, Limited)
    assert refusal.reason == "paused"


async def test_the_load_quota_waits_then_probes_then_halts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    error = LoadQuotaExceededError("load quota exceeded", status=403, reason="quotaExceeded")
    assert bench.judge(error) == 0
    probe = await bench.limiter.acquire("me", SITE, 50)
    assert trio.current_time() == 900
    assert isinstance(bench.judge(BackendError("oops", status=500), grant=probe), float)
    verdict = bench.judge(error, grant=probe)
    assert isinstance(verdict, Halt)
    assert "run again tomorrow" in verdict.reason
    assert verdict.status == "halted"


async def test_a_worker_backs_off_exponentially_with_full_jitter_up_to_the_maximum() -> None:
    bench = Bench(Settings(retry_budget=1_000_000, retry_maximum_seconds=8))
    for in_a_row, ceiling in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (1_000, 8)]:
        delays = []
        for _ in range(200):
            delay = bench.judge(TransportError("reset"), in_a_row=in_a_row)
            assert isinstance(delay, float)
            delays.append(delay)
        assert 0 <= min(delays) < 0.1 * ceiling
        assert 0.9 * ceiling < max(delays) <= ceiling


async def test_retry_after_of_a_backend_error_is_honoured() -> None:
    assert Bench().judge(BackendError("busy", status=503, retry_after_seconds=77)) == 77


async def test_an_endless_failure_halts_with_the_cause_when_the_budget_is_used_up() -> None:
    bench = Bench(Settings(retry_budget=3, max_concurrency=1))
    error = BackendError("Backend Error", status=503)
    verdicts = [bench.judge(error, error, error) for _ in range(4)]
    assert all(isinstance(verdict, float) for verdict in verdicts[:3])
    halt = verdicts[3]
    assert isinstance(halt, Halt)
    assert halt.status == "failed"
    for words in (SITE, "2026-03-03", "retry_budget 3", "Backend Error", "503"):
        assert words in halt.reason


async def test_answered_pages_earn_retries_back() -> None:
    bench = Bench(Settings(retry_budget=1, max_concurrency=1))
    for _ in range(100):
        assert isinstance(bench.judge(TransportError("reset")), float)
        bench.policy.note_pages(10, bench.grant())
    assert isinstance(bench.judge(TransportError("reset")), float)
    assert isinstance(bench.judge(TransportError("reset")), Halt)


async def test_pages_of_a_good_hour_do_not_lengthen_the_outage_after_it() -> None:
    bench = Bench(Settings(retry_budget=3, max_concurrency=1))
    bench.policy.note_pages(1_000, bench.grant())
    verdicts = [bench.judge(TransportError("reset")) for _ in range(4)]
    assert [isinstance(verdict, Halt) for verdict in verdicts] == [False, False, False, True]


@pytest.mark.parametrize("max_concurrency", [1, 10])
async def test_only_pauses_in_a_row_without_any_answer_make_a_run_give_up(
    autojump_clock: trio.testing.MockClock, max_concurrency: int
) -> None:
    bench = Bench(Settings(retry_budget=3, max_concurrency=max_concurrency))
    error = RateLimitExceededError("QPS quota exceeded", status=403, reason="quotaExceeded")

    async def refuse(times: int) -> None:
        for _ in range(times):
            await trio.sleep(100)
            for grant in [bench.grant() for _ in range(20)]:  # all were out at the first refusal
                assert bench.judge(error, grant=grant) == 0

    for _ in range(10):
        await refuse(2)
        await trio.sleep(100)
        bench.policy.note_pages(1, bench.grant())
    await refuse(2)
    await trio.sleep(100)
    assert bench.judge(error) == 0
    await trio.sleep(100)
    halt = bench.judge(error)
    assert isinstance(halt, Halt)
    assert "QPS quota exceeded" in halt.reason


@pytest.mark.parametrize("max_concurrency", [1, 10])
async def test_an_outage_is_borne_as_long_by_many_workers_as_by_one(
    autojump_clock: trio.testing.MockClock, max_concurrency: int
) -> None:
    bench = Bench(Settings(retry_budget=5, max_concurrency=max_concurrency))
    for in_a_row in range(1, 6):
        for _ in range(max_concurrency):
            verdict = bench.judge(BackendError("down", status=503), in_a_row=in_a_row)
            assert isinstance(verdict, float)
    assert isinstance(bench.judge(BackendError("down", status=503), in_a_row=6), Halt)
