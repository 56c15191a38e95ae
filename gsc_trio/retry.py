"""What to do about failures: who waits, how long, and when to give up.

By reason (Source: Search Console API usage limits and error reference):

- final errors halt the run, with the property, the date and Google's words;
- "too fast" pauses the user's key for all workers, doubling until an answer comes;
- a token that has expired is replaced, once (see `gsc_trio.access`);
- the load quota pauses it for 15 minutes; one query then probes, and if that is refused too, the
  daily quota is used up and the run halts;
- everything else makes the worker that met it back off, exponentially with full jitter.

Every failed HTTP request costs one of the run's retry budget, however many of its parts failed;
ten answered pages give one back. The budget grows with the workers, who all fail together when
the service is down; when their number changes, the same share of it is left. So a service that is
down ends the run with the cause, after about the same time for any concurrency, and one that
hiccups never does, however long the run is.

To be too fast is no failure, where a quota is shared with others: it costs nothing. Only when as
many pauses in a row as the budget of one worker have brought no answer at all, the run gives up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import attrs

from gsc_trio.client import Failure
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.errors import (
    AccessTokenExpiredError,
    FinalError,
    LoadQuotaExceededError,
    RateLimitExceededError,
    SignInError,
)
from gsc_trio.model import Halt
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.events import JobsRetried, QuotaExceeded
from gsc_trio.telemetry.instrument import Instruments

PAGES_PER_RETRY = 10
"""How many answered pages give one retry back to the budget."""

_TOO_MANY = (LoadQuotaExceededError, RateLimitExceededError)
"""What Google says when a quota is used up; what asks for the longer wait comes first."""


@attrs.define(eq=False)
class RetryPolicy:
    """The policy of one run, shared by its workers.

    Args:
        site_url: the property, for messages.
        user: whose key pauses.
        settings: the budget and the delays.
        concurrency: how many workers there are, now.
        limiter: what pauses keys.
        instruments: who is told of retries, and of queries that were too many.
        uniform: draws jitter.
    """

    site_url: str
    user: str
    settings: Settings
    concurrency: Concurrency
    limiter: RateLimiter
    instruments: Instruments
    uniform: Callable[[float, float], float] = random.uniform
    _budget: float = attrs.field(init=False)
    _workers: int = attrs.field(init=False)
    """How many workers the budget is for."""

    def __attrs_post_init__(self) -> None:
        self._workers = self.concurrency.limit
        self._budget = float(self.settings.retry_budget * self._workers)

    def note_pages(self, count: int, grant: Grant) -> None:
        """Pages were answered."""
        if count:
            self.limiter.note_success(self.user, grant)
            self._change_budget(count / PAGES_PER_RETRY)

    def judge(
        self, failures: Sequence[Failure], grant: Grant, failures_in_a_row: int
    ) -> Halt | float:
        """Decide about the failures of one HTTP request.

        Args:
            failures: at least one.
            grant: what the request was sent with.
            failures_in_a_row: how many requests of this worker have failed, with this one.

        Returns:
            Why the run must halt, or how many seconds this worker backs off. When the key
            pauses, that is 0: the limiter makes everyone wait.
        """
        final = next((each for each in failures if isinstance(each.error, FinalError)), None)
        if final is not None:
            return self._final(final)
        worst = self._worst(failures)
        refused = sum(isinstance(each.error, _TOO_MANY) for each in failures)
        if refused:
            self.instruments.handle(QuotaExceeded(f"user {self.user}", refused, worst.error))
        if isinstance(worst.error, LoadQuotaExceededError) and grant.is_probe:
            return Halt(
                f"{self.site_url}: the load quota is still used up after a pause of "
                f"{self.settings.load_quota_pause_seconds:g} seconds, so it is the daily one: run "
                f"again tomorrow to go on. Google says: {worst.error}",
                error=worst.error,
            )
        if isinstance(worst.error, RateLimitExceededError):
            is_hopeless = self.limiter.pauses_in_a_row(self.user) >= self.settings.retry_budget
        else:
            is_free = isinstance(worst.error, LoadQuotaExceededError)
            self._change_budget(0.0 if is_free else -1.0)
            is_hopeless = self._budget < 0
        if is_hopeless:
            return Halt(
                f"{self.site_url}, {worst.job}: gave up after too many failed requests "
                f"(retry_budget {self.settings.retry_budget}). The last one: {worst.error}",
                status="failed",
                error=worst.error,
            )
        delay = self._delay(worst, grant, failures_in_a_row)
        jobs = tuple(each.job for each in failures)
        self.instruments.handle(JobsRetried(jobs, worst.error, delay))
        return delay

    def _change_budget(self, change: float) -> None:
        workers = self.concurrency.limit
        if workers != self._workers:
            self._budget *= workers / self._workers
            self._workers = workers
        self._budget = min(self._budget + change, float(self.settings.retry_budget * workers))

    def _delay(self, worst: Failure, grant: Grant, failures_in_a_row: int) -> float:
        if isinstance(worst.error, LoadQuotaExceededError):
            pause = self.settings.load_quota_pause_seconds
            self.limiter.pause_for_load(self.user, grant, worst.error, pause)
            return 0.0
        if isinstance(worst.error, RateLimitExceededError):
            self.limiter.pause_for_rate(self.user, grant, worst.error)
            return 0.0
        if isinstance(worst.error, AccessTokenExpiredError):
            return 0.0  # a new one is there in an instant
        ceiling = min(
            self.settings.retry_initial_seconds * 2 ** min(failures_in_a_row - 1, 30),
            self.settings.retry_maximum_seconds,
        )
        return max(self.uniform(0.0, ceiling), worst.error.retry_after_seconds or 0.0)

    @staticmethod
    def _worst(failures: Sequence[Failure]) -> Failure:
        """The failure that asks for the longest wait."""
        for kind in _TOO_MANY:
            for failure in failures:
                if isinstance(failure.error, kind):
                    return failure
        return failures[0]

    def _final(self, failure: Failure) -> Halt:
        if isinstance(failure.error, SignInError):  # it is about no property and no day
            return Halt(f"{failure.error}", status="failed", error=failure.error)
        advice = f"; {failure.error.advice}" if failure.error.advice else ""
        return Halt(
            f"{self.site_url}, {failure.job}: Google refused: {failure.error}{advice}",
            status="failed",
            error=failure.error,
        )
