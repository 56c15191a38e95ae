"""The database of a simulated fleet: ledgers, recorded grants, and leases with fencing tokens.

One for all machines, in memory, as Postgres would be. Every write looks at the token in the same
instant in which it is done, so a machine that was taken over writes nothing any more. Who has a
shard says so every few seconds; who was silent for too long may be taken over.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import attrs
import trio

from gsc_trio.errors import FencedError
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.paginator import days_backwards
from gsc_trio.store.base import GrantKey, RecordedGrant, StoredDay
from gsc_trio.testing.simulated_process import SimulatedProcess

T = TypeVar("T")

BEAT_SECONDS = 5.0
"""How often who has a shard says that it lives."""

STALE_SECONDS = 20.0
"""After how much silence a shard may be taken over."""

TRANSACTION_SECONDS = 0.004
"""How long a transaction takes."""

FULL_PAGE_ROWS = 2
"""How many rows a full page has."""

_COMPLETE = 0x80


@attrs.define(eq=False)
class Machine(SimulatedProcess):
    """A process of the fleet: it can die, and it can be stopped for a while and go on."""

    _stopped: trio.Event | None = attrs.field(default=None, init=False)

    def stop(self) -> None:
        """Do nothing from now on, as after SIGSTOP."""
        if self._stopped is None:
            self._stopped = trio.Event()

    def go_on(self) -> None:
        """As after SIGCONT."""
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None

    async def awake(self) -> None:
        """Wait while it is stopped: whatever has an effect on others goes through here.

        Raises:
            ProcessDiedError: it is dead.
        """
        while self._stopped is not None and not self.is_dead:
            with trio.CancelScope(shield=True):  # who is stopped cannot be cancelled either
                await self._stopped.wait()
        self.check_alive()

    def kill(self) -> None:
        """Die now, stopped or not."""
        super().kill()
        self.go_on()


@attrs.define
class Shard:
    """What one user asks for, and who has it."""

    user: str
    sites: Sequence[str]
    token: int = 0
    holder: str = ""
    heard_at: float = 0.0
    done_at: float | None = None
    grants: dict[GrantKey, RecordedGrant] = attrs.field(factory=dict)


@attrs.frozen
class Fence:
    """The right to write a shard's data, until somebody else takes it."""

    shard: Shard
    token: int


@attrs.define(eq=False)
class FleetDatabase:
    """What survives.

    Args:
        shards: all there is to do.
        start: the first day of every property.
        end: the last one.
    """

    shards: Sequence[Shard]
    start: dt.date
    end: dt.date
    take_overs: int = 0
    """How often a shard was taken from somebody."""
    fenced: int = 0
    """How many writes were refused, since the shard was another's by then."""
    committed_again: int = 0
    """Pages that were committed already when they were committed: there must be none."""
    pages: int = 0
    _ledger: dict[str, bytearray] = attrs.field(factory=dict, init=False)
    """For each day of a property, newest first: how many pages there are, and whether it is all."""

    # Leases.

    def claim(self, machine: str) -> Fence | None:
        """A shard that has work and no living holder, if there is one."""
        now = trio.current_time()
        for shard in self.shards:
            is_free = not shard.holder or now - shard.heard_at > STALE_SECONDS
            if shard.done_at is None and is_free:
                self.take_overs += bool(shard.holder)
                shard.token += 1
                shard.holder, shard.heard_at = machine, now
                return Fence(shard, shard.token)
        return None

    def check(self, fence: Fence) -> None:
        """Refuse who was taken over.

        Raises:
            FencedError: somebody else has the shard.
        """
        if fence.token != fence.shard.token:
            self.fenced += 1
            raise FencedError(f"the shard of {fence.shard.user} was taken over: nothing is written")

    def release(self, fence: Fence, *, is_done: bool) -> None:
        """Give a shard back, done or not.

        Raises:
            FencedError: somebody else has it.
        """
        self.check(fence)
        fence.shard.holder = ""
        if is_done:
            fence.shard.done_at = trio.current_time()

    # Ledger.

    def stored_days(self, site_url: str) -> dict[dt.date, StoredDay]:
        """What is there of a property."""
        days = self._days_of(site_url)
        return {
            day: StoredDay(0 if here & _COMPLETE else here * FULL_PAGE_ROWS, bool(here & _COMPLETE))
            for day, here in zip(days_backwards(self.start, self.end), days, strict=True)
            if here
        }

    def write(self, site_url: str, page: Page) -> None:
        """Enter a page."""
        days, place = self._days_of(site_url), (self.end - page.job.data_date).days
        if days[place] & _COMPLETE or days[place] != page.job.start_row // FULL_PAGE_ROWS:
            self.committed_again += 1
        days[place] += 1
        self.pages += 1
        if not page.is_full:
            days[place] |= _COMPLETE

    def wrong_days(self, pages_of: Callable[[dt.date], int]) -> int:
        """How many days lack a page or have one too many, by how many each should have."""
        expected = bytes(pages_of(day) | _COMPLETE for day in days_backwards(self.start, self.end))
        wrong = 0
        for shard in self.shards:
            for site_url in shard.sites:
                days = self._days_of(site_url)
                if days != expected:
                    wrong += sum(a != b for a, b in zip(days, expected, strict=True))
        return wrong

    def _days_of(self, site_url: str) -> bytearray:
        if site_url not in self._ledger:
            self._ledger[site_url] = bytearray((self.end - self.start).days + 1)
        return self._ledger[site_url]


@attrs.define(eq=False)
class FleetStore:
    """A machine's store for one shard.

    Args:
        database: where it writes.
        machine: who writes.
        fence: its right to.
    """

    database: FleetDatabase
    machine: Machine
    fence: Fence

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The days of which there is anything."""
        return await self._transact(lambda: self.database.stored_days(query.site_url))

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The same, at the beginning of a run."""
        return await self.stored_days(query, start, end)

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> None:
        """Commit pages."""

        def work() -> None:
            for page in pages:
                self.database.write(query.site_url, page)

        await self._transact(work)

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        """Take no note of the registry: it only tells people what was under way."""
        await trio.lowlevel.checkpoint()

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        """What was sent as this shard's user, by any machine.

        When another machine's query was answered its clock told, and clocks differ: it counts as
        on its way until now.
        """

        def work() -> list[RecordedGrant]:
            boot = self.machine.name
            return [
                grant if grant.sent.boot == boot else attrs.evolve(grant, answered=None)
                for grant in self.fence.shard.grants.values()
            ]

        return await self._transact(work)

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        """Commit grants, and delete others."""

        def work() -> None:
            kept = self.fence.shard.grants
            for key in forget:
                kept.pop(key, None)
            kept.update((grant.key, grant) for grant in grants)

        await self._transact(work)

    async def _transact(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):  # as a thread that is at work
            await self.machine.awake()
            await trio.sleep(TRANSACTION_SECONDS)
            await self.machine.awake()
            self.database.check(self.fence)
            result = work()
            await self.machine.awake()
        return result
