"""URL Inspection: many URLs at once, within quotas of its own.

Google allows 600 inspections a minute and 2,000 a day of each site, beside those of Search
Analytics (Source: Search Console API usage limits). The minute's are held by a rate limiter that
`inspection_limiter` makes; how many are left of the day's is the caller's to know, since that
outlives a process.

Rules:

1. An inspection is handed on as soon as it is answered, so that what was paid for can be kept.
2. What concerns one URL only is told of that URL, and the others go on. What concerns all of them
   (credentials, permission, the day's quota) ends the work.
3. "Too fast" pauses everyone through the limiter; a backend that fails is asked again after a
   growing wait, a few times for each URL.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator

import attrs
import trio

from gsc_trio.client import SearchConsole
from gsc_trio.config import Settings
from gsc_trio.errors import (
    ApiError,
    DailyLimitExceededError,
    FinalError,
    PermissionDeniedError,
    RateLimitExceededError,
    TransientError,
    UnauthenticatedError,
)
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.wire.inspection import Inspection

PER_MINUTE = 600
"""Inspections of a site in a minute (Source: Search Console API usage limits)."""

PER_DAY = 2_000
"""Inspections of a site in a day, which begins at midnight Pacific time."""

PROJECT_PER_MINUTE = 15_000

MAX_TRIES = 5
"""How often a URL is asked for, while the backend fails."""

MAX_PAUSES = 8
"""After so many pauses in a row without any answer, it is not the minute's quota that is used up:
with pauses that double from one second, they take more than two minutes."""

_CONCERNS_ALL = (UnauthenticatedError, PermissionDeniedError, DailyLimitExceededError)


@attrs.frozen
class Target:
    """A URL to inspect."""

    site_url: str
    """The property that it is in."""
    url: str


@attrs.frozen
class FailedInspection:
    """A URL that was not inspected, while others were."""

    target: Target
    error: ApiError


Receive = Callable[[Inspection | FailedInspection], Awaitable[None]]


def inspection_limiter(settings: Settings, *, per_minute: int = PER_MINUTE) -> RateLimiter:
    """A limiter for URL Inspection alone.

    Args:
        settings: how long it pauses when it was too fast.
        per_minute: inspections of a site in any 60 seconds.
    """
    return RateLimiter(
        queries_per_minute=per_minute,
        project_queries_per_minute=max(PROJECT_PER_MINUTE, per_minute),
        pause_initial_seconds=settings.retry_initial_seconds,
        pause_maximum_seconds=settings.retry_maximum_seconds,
    )


@attrs.define(eq=False)
class Inspector:
    """Inspects URLs.

    Args:
        client: what is asked.
        limiter: from `inspection_limiter`; one for all that spends the same quota.
        language_code: in which language Google explains itself (BCP 47).
        uniform: draws the waits after failures.
    """

    client: SearchConsole
    limiter: RateLimiter
    language_code: str = "en-US"
    uniform: Callable[[float, float], float] = random.uniform

    async def inspect(
        self, targets: Iterable[Target], receive: Receive, *, concurrency: int
    ) -> None:
        """Inspect URLs, several at once.

        Args:
            targets: which; they are begun in this order.
            receive: gets each as it is answered; one call at a time.
            concurrency: how many are under way at once.

        Raises:
            ApiError: what concerns all of them; `receive` has had those that were answered.
        """
        waiting = iter(targets)
        one_at_a_time = trio.Lock()
        refusals: list[ApiError] = []
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(concurrency):
                    nursery.start_soon(self._work, waiting, receive, one_at_a_time)
        except* ApiError as errors:
            refusals.append(_first(errors))
        if refusals:  # raised up there it would be in a group again
            raise refusals[0]

    async def _work(
        self, waiting: Iterator[Target], receive: Receive, one_at_a_time: trio.Lock
    ) -> None:
        for target in waiting:
            inspected = await self._inspect_one(target)
            # Paid for: it is handed on also when another one ends the work meanwhile.
            with trio.CancelScope(shield=True):
                async with one_at_a_time:
                    await receive(inspected)

    async def _inspect_one(self, target: Target) -> Inspection | FailedInspection:
        tries = 0
        while True:
            try:
                return await self._ask(target)
            except RateLimitExceededError as error:
                if self.limiter.pauses_in_a_row(self.client.user) >= MAX_PAUSES:
                    raise DailyLimitExceededError(
                        f"{target.site_url}: still too many inspections after {MAX_PAUSES} pauses, "
                        f"so the quota of the day is used up: go on tomorrow. Google says: {error}",
                    ) from None
            except TransientError as error:
                tries += 1
                if tries >= MAX_TRIES:
                    return FailedInspection(target, error)
                await trio.sleep(self._delay(tries, error))
            except _CONCERNS_ALL:
                raise
            except FinalError as error:
                return FailedInspection(target, error)

    async def _ask(self, target: Target) -> Inspection:
        user = self.client.user
        with await self.limiter.acquire(user, target.site_url) as grant:
            try:
                inspection = await self.client.inspect_url(
                    target.site_url, target.url, language_code=self.language_code, grant=grant
                )
            except RateLimitExceededError as error:
                if "per day" in error.message.lower():
                    raise DailyLimitExceededError(
                        f"{target.site_url}: the inspections of the day are used up, go on "
                        f"tomorrow. Google says: {error}"
                    ) from None
                self.limiter.pause_for_rate(user, grant, error)
                raise
            self.limiter.note_success(user, grant)
        return inspection

    def _delay(self, tries: int, error: ApiError) -> float:
        settings = self.client.settings
        ceiling = settings.retry_initial_seconds * 2 ** (tries - 1)
        longest = min(ceiling, settings.retry_maximum_seconds)
        return max(self.uniform(0.0, longest), error.retry_after_seconds or 0.0)


def _first(errors: BaseExceptionGroup[ApiError]) -> ApiError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("a group has at least one")
