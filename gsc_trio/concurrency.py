"""How many workers a run may have at once, and how that is changed while it runs.

A `Concurrency` is made before a run and given to it::

    concurrency = Concurrency(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(backfill, ..., concurrency=concurrency))
        ...
        concurrency.change(5, "quota use is at 40 %")
        ...
        concurrency.change(1, "Google refuses queries")   # the rollback

Deciding is synchronous: when `Concurrency.change` returns, workers that were added have been
started, and idle ones that are too many have been sent home. A worker that is too many and has a
batch in its hands ends when that batch is done; nothing is cancelled that was paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gsc_trio.config import check_setting

Follower = Callable[[int, str], None]
"""Hears of a change: what the limit was before it, and the reason for the change."""


class Concurrency:
    """How many workers there may be, now. Several runs may share one.

    Args:
        limit: what to begin with.

    Raises:
        UsageError: a limit that ``max_concurrency`` could not have.
    """

    def __init__(self, limit: int) -> None:
        check_setting("max_concurrency", limit, "concurrency")
        self._limit = limit
        self._followers: list[Follower] = []

    @property
    def limit(self) -> int:
        """How many workers there may be."""
        return self._limit

    def change(self, limit: int, reason: str) -> None:
        """Have another number of workers from now on; called on trio's thread.

        Args:
            limit: how many.
            reason: why, for whoever reads the events.

        Raises:
            UsageError: a limit that ``max_concurrency`` could not have; nothing was changed.
        """
        check_setting("max_concurrency", limit, "concurrency")
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
