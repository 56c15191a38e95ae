"""What was sent lately, written down before it is sent, so that the next process counts it too.

Google counts a query whether or not the process that sent it still lives. So before queries leave,
their number is committed to the store, and a run begins by taking the permits of what it finds
there. A program that crashes and is started again, however often, stays within the quota.

Rules:

1. What is recorded is a grant: how many queries of which user and site. It is durable before its
   first query leaves.
2. That it was answered, and when, is written along with the next one, and at the end of the run.
   A grant without that may have been on its way when its process died: it counts as answered a
   grace time after the next process begins. That is written down, too: in a row of crashes each
   process would otherwise count it anew, and its permits would never come back.
3. Grants that this process's limiter gave itself are not taken a second time.
4. What took long to write down is written down once more before anything is sent: the process may
   have been stopped meanwhile, and whoever took over its work would have stopped counting what it
   is about to send. A store that was taken over refuses it.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs
import trio

from gsc_trio.errors import StorageError
from gsc_trio.permits import CANCEL_GRACE_SECONDS, Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.store.base import GrantKey, RecordedGrant, Store


@attrs.define(eq=False)
class QuotaJournal:
    """The journal of one run, or of several with one store and one limiter.

    Args:
        store: where it is kept.
        limiter: whose grants they are.
    """

    store: Store
    limiter: RateLimiter
    _changed: list[RecordedGrant] = attrs.field(factory=list, init=False)
    """Grants that were answered since the last commit."""
    _over: list[tuple[float, str, int]] = attrs.field(factory=list, init=False)
    """A heap: when which entry (limiter, number) can be deleted, in seconds of trio's clock."""

    async def restore(self) -> None:
        """Take the permits of what earlier processes sent within the last window.

        Raises:
            StorageError: the store cannot be read.
        """
        now = self.limiter.clock()
        for grant in await self.store.recent_grants():
            if grant.key.limiter == self.limiter.identity:
                continue
            seconds_ago = -CANCEL_GRACE_SECONDS
            if grant.answered is None:
                answered = now.plus(CANCEL_GRACE_SECONDS)
                self._changed.append(attrs.evolve(grant, sent=now, answered=answered))
            else:
                # What was given up counts as answered a little later than now; nothing does later.
                seconds_ago = max(seconds_ago, grant.answered.seconds_until(now))
            held_until = self.limiter.restore(
                grant.user, grant.site_url, grant.queries, answered_seconds_ago=seconds_ago
            )
            self._note_end(grant.key, held_until)

    @asynccontextmanager
    async def recorded(
        self, grant: Grant, queries: int, *, user: str, site_url: str
    ) -> AsyncIterator[None]:
        """Record a grant; its queries are sent in the body.

        Args:
            grant: the permits.
            queries: how many are sent.
            user: whose quota is spent.
            site_url: the property.

        Raises:
            StorageError: it could not be recorded, so nothing may be sent.
        """
        number = self.limiter.next_number()
        entry = RecordedGrant(
            key=GrantKey(self.limiter.identity, number),
            user=user,
            site_url=site_url,
            queries=queries,
            sent=self.limiter.clock(),
        )
        asked_at = trio.current_time()
        await self._commit(entry)
        if trio.current_time() - asked_at >= CANCEL_GRACE_SECONDS:
            entry = attrs.evolve(entry, sent=self.limiter.clock())
            await self._commit(entry)
        try:
            yield
        finally:
            grace_seconds = CANCEL_GRACE_SECONDS if grant.unanswered else 0.0
            answered = self.limiter.clock().plus(grace_seconds)
            self._changed.append(attrs.evolve(entry, answered=answered))
            self._note_end(entry.key, self.limiter.held_until(grace_seconds))

    async def close(self, *, deadline: float) -> None:
        """Write down what is left to write, even in a run that is cancelled.

        Args:
            deadline: until when that may begin, in seconds of trio's clock.
        """
        if not self._changed:
            return
        # A store that has failed was reported; without this, the next run waits a little longer.
        with trio.CancelScope(shield=True, deadline=deadline), suppress(StorageError):
            await self._commit()

    def _note_end(self, key: GrantKey, held_until: float) -> None:
        heapq.heappush(self._over, (held_until, key.limiter, key.number))

    async def _commit(self, *new: RecordedGrant) -> None:
        changed, self._changed = self._changed, []
        now, over = trio.current_time(), set()
        while self._over and self._over[0][0] <= now:
            over.add(GrantKey(*heapq.heappop(self._over)[1:]))
        recorded = [each for each in changed if each.key not in over]
        await self.store.record_grants([*recorded, *new], forget=over)
