"""Hours in milliseconds: run a program on trio's MockClock, which jumps whenever all tasks wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio.testing

T = TypeVar("T")


def run_in_virtual_time(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """`trio.run` with a clock that starts at 0 and skips all waiting.

    Each call has a clock of its own, so it may be used within a Hypothesis test. Threads are real:
    while one works, the clock must not jump, so nothing under it may use them.

    Returns:
        What the function returns.
    """
    return trio.run(function, *args, clock=trio.testing.MockClock(autojump_threshold=0))
