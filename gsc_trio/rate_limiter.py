"""The rate limiter: no query leaves without a permit from every limit that it counts against.

A FIFO sliding window (see `gsc_trio.quota_window` for why it is counted from the response), over
four kinds of keys at once: the site, the user, the project and, if wanted, a short burst.

Rules:

1. Permits are taken from all keys of a request or from none.
2. Whoever waits is served in the order of arrival, key by key: a small request never overtakes a
   large one that waits for the same key, so nobody starves; `check_rate` respects the line too.
3. A waiter that is cancelled has taken nothing. A grant that was never sent gives its permits
   back at once; one that was sent and never answered is held as if it had been answered a grace
   time (see `gsc_trio.permits`) after it was given up, since the query may still be on its way.
4. When Google says "too fast" the whole key pauses, for all workers together. When it says that
   the load quota is used up, the first grant after the pause is a probe: one query, alone.
5. Deciding is synchronous; only waiting is not. Nothing polls: a waiter sleeps until the time at
   which permits are known to come back, or until something changes that time.

A limiter is shared by everything that spends the same quota: pass one to several runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count
from typing import Self
from uuid import uuid4

import attrs
import trio

from gsc_trio.config import Settings
from gsc_trio.errors import ApiError
from gsc_trio.machine_clock import Moment, machine_moment
from gsc_trio.permits import Grant, QuotaKey, Waiter
from gsc_trio.quota_window import CLOCK_DRIFT, QuotaWindow
from gsc_trio.telemetry.events import QuotaApproaching, QuotaPaused, QuotaUsed
from gsc_trio.telemetry.instrument import Instruments

WINDOW_SECONDS = 60.0
"""Google counts queries per minute (Source: Search Console API usage limits)."""

MANY_KEYS = 500
"""When there are so many keys, or twice as many as were in use the last time, those of sites that
were asked about long ago are forgotten."""

APPROACHING_SHARE = 0.8
"""From this share of a limit on, its use is told."""


@attrs.frozen
class Limited:
    """No permits now."""

    key: str
    """The limit that binds, as ``user token`` or ``site https://example.com/``."""
    wait_seconds: float
    """How long until there may be enough permits, as far as is known now."""
    reason: str
    """``quota``, ``paused`` or ``line`` (others were waiting first)."""


class RateLimiter:
    """Permits for everything that spends one project's quota.

    Args:
        queries_per_minute: the limit of each site and of each user.
        project_queries_per_minute: the limit of all of them together.
        burst_queries_per_second: a user's cap in any one second, or None.
        pause_initial_seconds: how long a key pauses after a first "too fast", in seconds.
        pause_maximum_seconds: what the doubling of that stops at, in seconds.
        instruments: who is told how much of a limit is used, and of pauses.
        clock: what tells the time to other processes.
    """

    def __init__(
        self,
        *,
        queries_per_minute: int = 1_200,
        project_queries_per_minute: int = 40_000,
        burst_queries_per_second: int | None = None,
        pause_initial_seconds: float = 1.0,
        pause_maximum_seconds: float = 60.0,
        instruments: Instruments | None = None,
        clock: Callable[[], Moment] = machine_moment,
    ) -> None:
        self.identity = uuid4().hex
        """What its grants are known by to other processes."""
        self.clock = clock
        """What tells the time to other processes."""
        self._numbers = count(1)
        self._queries_per_minute = queries_per_minute
        self._burst_queries_per_second = burst_queries_per_second
        self._pause_initial_seconds = pause_initial_seconds
        self._pause_maximum_seconds = pause_maximum_seconds
        self.instruments = instruments or Instruments()
        """Who is told how much of a limit is used, and of pauses."""
        self._project = QuotaKey(QuotaWindow("project", project_queries_per_minute, WINDOW_SECONDS))
        self._keys: dict[str, QuotaKey] = {}
        self._most_keys = MANY_KEYS

    @classmethod
    def from_settings(cls, settings: Settings, instruments: Instruments | None = None) -> Self:
        """A limiter with the limits of the settings."""
        return cls(
            queries_per_minute=settings.queries_per_minute,
            project_queries_per_minute=settings.project_queries_per_minute,
            burst_queries_per_second=settings.burst_queries_per_second,
            pause_initial_seconds=settings.retry_initial_seconds,
            pause_maximum_seconds=settings.retry_maximum_seconds,
            instruments=instruments,
        )

    def next_number(self) -> int:
        """A number that no other grant of this limiter has."""
        return next(self._numbers)

    def restore(self, user: str, site: str, queries: int, *, answered_seconds_ago: float) -> float:
        """Take the permits of queries that another process sent.

        Args:
            user: whose quota it was.
            site: the property.
            queries: how many were sent.
            answered_seconds_ago: when; less than 0 if they may still be on their way.

        Returns:
            Until when the permits are held, in seconds of trio's clock.
        """
        answered_at = trio.current_time() - answered_seconds_ago
        for key in (self._key("site", site), self._key("user", user), self._project):
            key.window.take(queries)
            key.settle(queries, answered_at)
            self.instruments.handle(_use_of(key.window))
        return self.held_until(-answered_seconds_ago)

    @staticmethod
    def held_until(seconds_from_now: float) -> float:
        """Until when permits are held whose queries are answered at a time from now."""
        return trio.current_time() + seconds_from_now + WINDOW_SECONDS * CLOCK_DRIFT

    def check_rate(
        self, user: str, site: str, count: int = 1, *, at_least: int | None = None
    ) -> Grant | Limited:
        """Take permits now, or hear how long to wait. Never waits itself.

        Args:
            user: whose quota it is: any stable name that is no secret.
            site: the property.
            count: how many queries are to be sent.
            at_least: be content with fewer, down to this many. By default all or nothing.

        Raises:
            ValueError: ``at_least`` is more than a limit, so it could never be granted.
        """
        waiter = self._join_lines(user, site, count, at_least)
        try:
            decision = self._decide(waiter)
            return decision if isinstance(decision, Grant) else self._limited(waiter, *decision)
        finally:
            self._leave_lines(waiter)

    async def acquire(
        self, user: str, site: str, count: int = 1, *, at_least: int | None = None
    ) -> Grant:
        """Wait in line for permits; parameters and errors as for `check_rate`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        waiter = self._join_lines(user, site, count, at_least)
        try:
            while not isinstance(decision := self._decide(waiter), Grant):
                waiter.changed = trio.Event()
                waiter.looks_at = self._decidable_at(waiter)
                with trio.move_on_at(waiter.looks_at):
                    await waiter.changed.wait()
        finally:
            self._leave_lines(waiter)
        # Permits are taken: from here on, being cancelled is the caller's `with grant` to handle.
        await trio.lowlevel.cancel_shielded_checkpoint()
        return decision

    def quota_use(self, user: str, site: str) -> list[QuotaUsed]:
        """How much of the limits is used that queries of a user about a site count against."""
        keys = (self._key("site", site), self._key("user", user), self._project)
        return [_use_of(key.window) for key in keys]

    def pauses_in_a_row(self, user: str) -> int:
        """How often the user's key was paused for being too fast since a query was answered."""
        return self._key("user", user).pauses_in_a_row

    def pause_for_rate(self, user: str, grant: Grant, error: ApiError) -> float:
        """Google said "too fast" to a query of the user: all of the user's queries wait.

        The pause doubles for each one in a row. Answers to queries that left before the pause
        began belong to it and change nothing.

        Args:
            user: as for `check_rate`.
            grant: what the refused query was sent with.
            error: what Google said; its ``retry_after_seconds`` is honoured.

        Returns:
            How many seconds are left of the pause.
        """
        key = self._key("user", user)
        if grant.granted_at > key.pause_began:
            seconds = min(
                self._pause_initial_seconds * 2**key.pauses_in_a_row, self._pause_maximum_seconds
            )
            key.pauses_in_a_row += 1
            self._pause(key, max(seconds, error.retry_after_seconds or 0.0), error)
        return max(0.0, key.paused_until - trio.current_time())

    def pause_for_load(self, user: str, grant: Grant, error: ApiError, seconds: float) -> float:
        """Google said that the load quota is used up: wait, then let one query try.

        Parameters and result as for `pause_for_rate`; ``seconds`` is how long to wait.
        """
        key = self._key("user", user)
        if not key.needs_probe or grant.is_probe:
            key.needs_probe = True
            self._pause(key, seconds, error)
        return max(0.0, key.paused_until - trio.current_time())

    def note_success(self, user: str, grant: Grant) -> None:
        """A query was answered: what was learnt from refusals before it no longer holds.

        When it left together with the queries whose refusal began a pause, that pause is the
        first of a new row: something does get through.
        """
        key = self._key("user", user)
        if grant.granted_at > key.pause_began:
            key.pauses_in_a_row = 0
            if key.needs_probe:
                key.needs_probe = False
                key.wake_first()
        elif grant.granted_at > key.pause_before_began:
            key.pauses_in_a_row = min(key.pauses_in_a_row, 1)

    def _pause(self, key: QuotaKey, seconds: float, error: ApiError) -> None:
        key.pause_before_began, key.pause_began = key.pause_began, trio.current_time()
        key.paused_until = max(key.paused_until, key.pause_began + seconds)
        key.wake_first()
        self.instruments.handle(QuotaPaused(key.window.key, seconds, error))

    def _key(self, kind: str, name: str) -> QuotaKey:
        label = f"{kind} {name}"
        key = self._keys.get(label)
        if key is None:
            limit, seconds = self._queries_per_minute, WINDOW_SECONDS
            if kind == "burst" and self._burst_queries_per_second is not None:
                limit, seconds = self._burst_queries_per_second, 1.0
            key = self._keys[label] = QuotaKey(QuotaWindow(label, limit, seconds))
        return key

    def _join_lines(self, user: str, site: str, count: int, at_least: int | None) -> Waiter:
        keys = [self._key("site", site), self._key("user", user)]
        if self._burst_queries_per_second is not None:
            keys.append(self._key("burst", user))
        minimum = count if at_least is None else at_least
        if not 1 <= minimum <= count:
            raise ValueError(f"asked for at least {minimum} of {count} permits")
        for key in (*keys, self._project):
            if minimum > key.window.limit:
                raise ValueError(
                    f"{minimum} permits can never be granted: the limit of {key.window.key} is "
                    f"{key.window.limit} in {key.window.seconds:g} seconds"
                )
        waiter = Waiter(keys, count, minimum)
        for key in keys:
            key.line.append(waiter)
        return waiter

    def _leave_lines(self, waiter: Waiter) -> None:
        for key in waiter.keys:
            key.leave(waiter)
        self._leave_project_line(waiter)
        if len(self._keys) > self._most_keys:
            self._forget_idle_keys()

    def _forget_idle_keys(self) -> None:
        """Thousands of properties may be asked about by one limiter, a few at a time."""
        now = trio.current_time()
        self._keys = {label: key for label, key in self._keys.items() if not key.is_idle(now)}
        self._most_keys = max(MANY_KEYS, 2 * len(self._keys))

    def _leave_project_line(self, waiter: Waiter) -> None:
        if waiter in self._project.line:
            self._project.leave(waiter)

    def _decide(self, waiter: Waiter) -> Grant | tuple[QuotaKey, str]:
        """Grant if every key has enough and it is the waiter's turn at each.

        A waiter joins the project's line only when its own keys have enough: so one that waits
        for its user or site holds up nobody else, and the project's line is still first come,
        first served.

        Returns:
            A grant, or the key that binds and why, as in `Limited.reason`.
        """
        now = trio.current_time()
        for key in waiter.keys:
            if key.line[0] is not waiter:
                return key, "line"
        minimum = 1 if any(key.needs_probe for key in waiter.keys) else waiter.at_least
        scarcest = min(waiter.keys, key=lambda key: key.available(now))
        if scarcest.available(now) < minimum:
            self._leave_project_line(waiter)
            reason = "paused" if now < scarcest.paused_until else "quota"
            return scarcest, reason
        project = self._project
        if waiter not in project.line:
            project.line.append(waiter)
        if project.line[0] is not waiter:
            return project, "line"
        if project.available(now) < minimum:
            return project, "quota"
        count = min(waiter.at_most, scarcest.available(now), project.available(now))
        return self._take((*waiter.keys, project), count, now)

    def _take(self, keys: Sequence[QuotaKey], count: int, now: float) -> Grant:
        is_probe = any(key.needs_probe for key in keys)
        for key in keys:
            key.window.take(count)
            key.probe_is_out = key.needs_probe
            used, limit = key.window.used(now), key.window.limit
            is_approaching = used >= APPROACHING_SHARE * limit
            if key.window.seconds == WINDOW_SECONDS:
                self.instruments.handle(_use_of(key.window))
                if is_approaching and not key.has_told:
                    self.instruments.handle(QuotaApproaching(key.window.key, used, limit))
            key.has_told = is_approaching
        return Grant(keys, count, is_probe=is_probe)

    def _limited(self, waiter: Waiter, key: QuotaKey, reason: str) -> Limited:
        """Say how long to wait; a query that is not answered yet is taken to be answered now."""
        now, wait_seconds = trio.current_time(), 0.0
        for each in (*waiter.keys, self._project):
            until = each.available_at(waiter.at_least, now)
            seconds = until - now if until < math.inf else each.window.seconds
            wait_seconds = max(wait_seconds, seconds)
        return Limited(key.window.key, wait_seconds, reason)

    def _decidable_at(self, waiter: Waiter) -> float:
        """When to look again: the time at which permits come back, if it is this waiter's turn.

        Whoever is not first is woken by the one before it.
        """
        keys = [*waiter.keys, self._project] if waiter in self._project.line else waiter.keys
        if any(key.line[0] is not waiter for key in keys):
            return math.inf
        now = trio.current_time()
        return max(key.available_at(waiter.at_least, now) for key in keys)


def _use_of(window: QuotaWindow) -> QuotaUsed:
    clock = trio.lowlevel.current_clock()
    return QuotaUsed(
        window.key,
        window.used(clock.current_time()),
        window.limit,
        lambda: window.used_at(clock.current_time()),
    )
