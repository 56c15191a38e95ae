"""How many workers a run may have at once, and how that is changed while it runs.

A `Concurrency` is made before a run and given to it::

    concurrency = Concurrency(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(backfill, ..., concurrency=concurrency))
        ...
        concurrency.change(5, "quota use is at 40 %")
        ...
        concurrency.change(1, "Google refuses queries")   # the rollback

With ``"auto"`` instead of a number, `gsc_trio.auto_concurrency` decides, until somebody else does.

Deciding is synchronous: when `Concurrency.change` returns, workers that were added have been
started, and idle ones that are too many have been sent home. A worker that is too many and has a
batch in its hands ends when that batch is done; nothing is cancelled that was paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from gsc_trio.config import AUTO_BEGINS_WITH, check_setting

Follower = Callable[[int, str], None]
"""Hears of a change: what the limit was before it, and the reason for the change."""


class Concurrency:
    """How many workers there may be, now. Several runs may share one.

    Args:
        setting: what to begin with, as ``max_concurrency`` may be set.

    Raises:
        UsageError: ``max_concurrency`` could not be set to it.
    """

    def __init__(self, setting: int | Literal["auto"]) -> None:
        check_setting("max_concurrency", setting, "concurrency")
        self._limit = AUTO_BEGINS_WITH if setting == "auto" else setting
        self._is_automatic = setting == "auto"
        self._followers: list[Follower] = []

    @property
    def limit(self) -> int:
        """How many workers there may be."""
        return self._limit

    @property
    def setting(self) -> int | Literal["auto"]:
        """What ``max_concurrency`` is set to: the limit, or that it is found out."""
        return "auto" if self._is_automatic else self._limit

    def change(self, setting: int | Literal["auto"], reason: str) -> None:
        """Have another number of workers from now on; called on trio's thread.

        Args:
            setting: how many; with ``"auto"`` as many as there are, to begin with.
            reason: why, for whoever reads the events.

        Raises:
            UsageError: ``max_concurrency`` could not be set to it; nothing was changed.
        """
        check_setting("max_concurrency", setting, "concurrency")
        self._is_automatic = setting == "auto"
        if setting != "auto":
            self._set_limit(setting, reason)

    def adapt(self, limit: int, reason: str) -> None:
        """What `change` does, by whoever finds the number out: it stays ``"auto"``."""
        check_setting("max_concurrency", limit, "concurrency")
        self._set_limit(limit, reason)

    def _set_limit(self, limit: int, reason: str) -> None:
        previous, self._limit = self._limit, limit
        if limit != previous:
            for follower in tuple(self._followers):
                follower(previous, reason)

    @contextmanager
    def followed_by(self, follower: Follower) -> Iterator[None]:
        """Call a function at each change, until the context is left."""
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)
