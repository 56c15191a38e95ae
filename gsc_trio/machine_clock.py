"""Instants that the next process on this machine can understand.

trio's clock means nothing outside its run, and the wall clock can be set. What all processes of a
machine share, and nobody can set, is the clock that counts from the machine's start; where the
system has one that goes on while the machine sleeps, it is that one.
"""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import attrs

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Linux gives every start of the machine a name (Source: random(4))."""


@attrs.frozen
class Moment:
    """An instant, as two clocks saw it."""

    wall_seconds: float
    """Since 1970, in UTC."""
    monotonic_seconds: float
    """Since the machine was started."""
    boot: str
    """Which start of the machine that was, or nothing where the system does not say."""

    def seconds_until(self, later: Moment) -> float:
        """How much time has passed at a later moment; less than 0 if that is an earlier one.

        The wall clock is asked only when the machine was started anew in between. It may have been
        set back.
        """
        if self.boot and self.boot == later.boot:
            return later.monotonic_seconds - self.monotonic_seconds
        return later.wall_seconds - self.wall_seconds

    def most_seconds_until(self, later: Moment) -> float:
        """How much time may have passed at a later moment of this process, by either clock.

        A clock that stood still, or was set, then hides nothing that the other one saw.
        """
        return max(
            later.monotonic_seconds - self.monotonic_seconds, later.wall_seconds - self.wall_seconds
        )

    def plus(self, seconds: float) -> Moment:
        """The moment that many seconds later."""
        return attrs.evolve(
            self,
            wall_seconds=self.wall_seconds + seconds,
            monotonic_seconds=self.monotonic_seconds + seconds,
        )


def machine_moment() -> Moment:
    """Now."""
    return Moment(time.time(), _seconds_since_boot(), _boot())


def _seconds_since_boot() -> float:
    if sys.platform == "linux":
        # The monotonic clock stands still while the machine sleeps (Source: clock_gettime(2)).
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@cache
def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
