"""What `gsc_trio.rate_limiter` deals in: keys with their lines, those who wait, and grants.

State changes happen in synchronous methods here; whoever changes when the first in a line could
be served wakes it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import attrs
import trio

from gsc_trio.quota_window import QuotaWindow

CANCEL_GRACE_SECONDS = 5.0
"""How long after it was given up a query may still arrive at the server."""


@attrs.define(eq=False)
class Waiter:
    """A request for permits: the keys of its own (all but the project), and how many it wants."""

    keys: Sequence[QuotaKey]
    at_most: int
    at_least: int
    changed: trio.Event = attrs.field(factory=trio.Event)
    looks_at: float = math.inf
    """When it looks again, if nothing changes until then."""


@attrs.define(eq=False)
class QuotaKey:
    """One limit: its window, the line before it, and its pause."""

    window: QuotaWindow
    line: deque[Waiter] = attrs.field(factory=deque)
    paused_until: float = -math.inf
    pause_began: float = -math.inf
    pause_before_began: float = -math.inf
    pauses_in_a_row: int = 0
    needs_probe: bool = False
    probe_is_out: bool = False
    has_told: bool = False

    def available(self, now: float) -> int:
        """Permits that can be taken at a time."""
        if now < self.paused_until:
            return 0
        available = self.window.available(now)
        if self.needs_probe:
            return 0 if self.probe_is_out else min(available, 1)
        return available

    def is_idle(self, now: float) -> bool:
        """Whether it knows nothing that a new key would not know."""
        is_paused = now < self.paused_until or self.pauses_in_a_row or self.needs_probe
        return not (self.line or is_paused or self.window.used(now))

    def available_at(self, count: int, now: float) -> float:
        """When ``count`` permits may be had; infinity if only an answer can tell."""
        if self.needs_probe:
            if self.probe_is_out:
                return math.inf
            count = 1
        return max(self.paused_until, self.window.available_at(count, now))

    def settle(self, count: int, answered_at: float) -> None:
        """Queries were answered at a time."""
        back_at = self.window.settle(count, answered_at)
        if self.line and back_at < self.line[0].looks_at:
            self.wake_first()

    def put_back(self, count: int) -> None:
        """Queries were not sent after all."""
        self.window.put_back(count)
        self.wake_first()

    def end_probe(self) -> None:
        """The lone query is done with, well or badly."""
        if self.probe_is_out:
            self.probe_is_out = False
            self.wake_first()

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out of the line."""
        if self.line[0] is waiter:
            self.line.popleft()
            self.wake_first()
        else:
            self.line.remove(waiter)

    def wake_first(self) -> None:
        """Let the first in line look again."""
        if self.line:
            self.line[0].changed.set()


class Grant:
    """Permits for a number of queries; a context manager, so that none is ever lost.

    Call `confirm` and `mark_sent` right before the queries go out and `settle` for each answer.
    Leaving the ``with`` block accounts for whatever is left, after rule 3 of the rate limiter.
    """

    def __init__(self, keys: Sequence[QuotaKey], count: int, *, is_probe: bool) -> None:
        self._keys = keys
        self._open = count
        self._is_sent = False
        self.count = count
        """How many queries may be sent with it."""
        self.is_probe = is_probe
        """Whether this is the lone query after a pause for the load quota."""
        self.granted_at = trio.current_time()
        """In seconds of trio's clock."""
        self.confirm: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint_if_cancelled
        """Waits until the queries may be sent at this instant, as far as other processes go; raises
        `StorageError` if they may not. Without a journal they always may."""
        self.is_closed = False
        """Whether its holder is done: answers have been handed on, too."""

    @property
    def unanswered(self) -> int:
        """How many queries were not answered yet, or not sent."""
        return self._open

    def mark_sent(self, count: int) -> None:
        """``count`` queries go out now; permits beyond that go back."""
        if count < self._open:
            for key in self._keys:
                key.put_back(self._open - count)
        self.count = self._open = count
        self._is_sent = True

    def settle(self, count: int = 1) -> None:
        """Answers to ``count`` of the queries have arrived."""
        self._settle(min(count, self._open), trio.current_time())

    def close(self) -> None:
        """Account for the permits that are left. Closing twice is harmless."""
        self.is_closed = True
        if self._is_sent:
            self._settle(self._open, trio.current_time() + CANCEL_GRACE_SECONDS)
        else:
            self.mark_sent(0)
        if self.is_probe:
            for key in self._keys:
                key.end_probe()

    def _settle(self, count: int, answered_at: float) -> None:
        self._open -= count
        if count:
            for key in self._keys:
                key.settle(count, answered_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
