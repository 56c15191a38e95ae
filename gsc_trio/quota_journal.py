"""What was sent lately, written down before it is sent, so that the next process counts it too.

Google counts a query whether or not the process that sent it still lives. So before queries leave,
their number is committed to the store, and a run begins by taking the permits of what it finds
there. A program that crashes and is started again, however often, stays within the quota.

Rules:

1. What is recorded is a grant: how many queries of which user and site. It is durable before its
   first query leaves.
2. That it was answered, and when, is written along with the next one, and at the end of the run.
   A grant without that may have been on its way when its process died, or may yet be sent: it
   counts as answered a grace time after the last instant at which it may be sent, as seen from the
   next process's beginning. That is written down, too: in a row of crashes each process would
   otherwise count it anew, and its permits would never come back.
3. Grants that this process's limiter gave itself are not taken a second time.
4. What was written down is sent soon (`SEND_WITHIN_SECONDS`) or written down once more first: the
   process may have been stopped meanwhile, wherever it was, and a store that was taken over refuses
   it. So whoever takes over knows until when what it finds may still be sent, and counts it until
   then. `gsc_trio.sender` looks at the time before a request, and before its last byte.

What is left of rule 4: a process that is stopped in the microseconds between that look and the
system call that sends, a network that holds a packet for longer than the grace time, and a virtual
machine that is frozen with all of its clocks.
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

SEND_WITHIN_SECONDS = 5.0
"""How long after it was written down a query may be sent; a store that is taken over in between
does not hear of it."""

MOST_TRIES = 5
"""How often in a row it may take longer than that to write a query down."""


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
            seconds_ago = -SEND_WITHIN_SECONDS - CANCEL_GRACE_SECONDS
            if grant.answered is None:
                answered = now.plus(-seconds_ago)
                self._changed.append(attrs.evolve(grant, sent=now, answered=answered))
            else:
                # It may count as answered a little later than now, and nothing does much later.
                seconds_ago = max(seconds_ago, grant.answered.seconds_until(now))
            held_until = self.limiter.restore(
                grant.user, grant.site_url, grant.queries, answered_seconds_ago=seconds_ago
            )
            self._note_end(grant.key, held_until)

    @asynccontextmanager
    async def recorded(
        self, grant: Grant, queries: int, *, user: str, site_url: str
    ) -> AsyncIterator[None]:
        """Record a grant; its queries are sent in the body, each after a `Grant.confirm`.

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

        async def confirm() -> None:
            nonlocal entry
            for _ in range(MOST_TRIES):
                if entry.sent.most_seconds_until(self.limiter.clock()) < SEND_WITHIN_SECONDS:
                    return
                entry = attrs.evolve(entry, sent=self.limiter.clock())
                await self._commit(entry)
            raise StorageError(
                f"the store took more than {SEND_WITHIN_SECONDS:g} seconds to write a query down, "
                f"{MOST_TRIES} times in a row: nothing was sent"
            )

        await self._commit(entry)
        grant.confirm = confirm
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
