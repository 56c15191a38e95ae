"""Many properties at once: who has a turn, and what one failure means for others.

    works, the least first ──► an account's crew has room? ──► a turn: client, workers, journal
                                                                 │
                  the next one ◄──── done, failed or stuck ◄─────┘

Rules:

1. One limiter and one quota journal for all: the limits of site, user and project hold together.
2. `gsc_trio.crew` says how many runs an account may have. So memory follows the number of workers
   and not that of properties; all runs together hold ``max_waiting_bytes`` of waiting answers.
3. The least work first, so that nobody's new days wait for another's long history.
4. What fails, whatever the reason, does not stop the others. Only what would fail them in the same
   way does: a database that fails, for all; an account or a project whose queries Google refuses,
   for those of that account or project; a property that an account may not see, for itself.

Must never: read or write a database, or know what is fetched; that is the works' concern.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import attrs
import trio

from gsc_trio.auto_concurrency import AutoConcurrency
from gsc_trio.client import SearchConsole
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.crew import Crew, Member
from gsc_trio.errors import (
    DailyLimitExceededError,
    DatabaseInUseError,
    GscTrioError,
    LoadQuotaExceededError,
    PermissionDeniedError,
    SignInError,
    StorageError,
    UnauthenticatedError,
    UsageError,
)
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.store.base import Store
from gsc_trio.telemetry.events import (
    BatchTaken,
    ConcurrencyChanged,
    Event,
    PropertyFinished,
    PropertyStarted,
)
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.telemetry.merged import MergedRuns
from gsc_trio.turn import Outcome, Turn, Work

logger = logging.getLogger("gsc_trio")

ClientOf = Callable[[str], SearchConsole]
"""The client that asks about a site. Clients of several accounts share one rate limiter."""

_ENDS_ACCOUNT = (UnauthenticatedError, SignInError, LoadQuotaExceededError)
"""What a run halts with that the account's other properties would meet, too."""

_GOOD = ("complete", "paused")
"""Statuses of outcomes that are as they should be."""


def clients_of(
    client: SearchConsole | ClientOf, site_urls: Iterable[str]
) -> Mapping[str, SearchConsole]:
    """The client of each site."""
    return {
        site_url: client if isinstance(client, SearchConsole) else client(site_url)
        for site_url in site_urls
    }


async def run_side_by_side(
    works: Sequence[Work],
    clients: Mapping[str, SearchConsole],
    store: Store,
    settings: Settings,
    *,
    start: dt.date,
    end: dt.date,
    days_stored: tuple[dt.date, ...] = (),
    instruments: Iterable[Instrument],
    halt_switch: HaltSwitch,
    concurrency: Concurrency | None = None,
    one_at_a_time: bool = False,
) -> None:
    """Do all works, each as soon as its account has a worker for it.

    Args:
        works: what is to be done.
        clients: whom to ask about each property; they share one limiter.
        store: where queries are written down before they leave.
        settings: concurrency and limits.
        start: the first day of any.
        end: the last day of any.
        days_stored: those between that are there already, if there is only one work.
        instruments: who is told what happens, of all of them together.
        halt_switch: what stops everything from outside.
        concurrency: how many workers each account has, if that is to be changed meanwhile.
        one_at_a_time: whether one has all workers until it is done.

    Raises:
        UsageError: clients with limiters of their own, or ``max_concurrency`` is ``auto`` and
            there are several accounts. Nothing was begun.
        StorageError: the store cannot be read.
    """
    waiting = sorted(works, key=lambda work: work.days)
    used = {id(clients[work.site_url]): clients[work.site_url] for work in waiting}.values()
    if len({id(client.limiter) for client in used}) > 1:
        raise UsageError("clients of several accounts must share one rate limiter: give them one")
    telemetry, began_at = MergedRuns(instruments), trio.current_time()
    floor = _Floor(clients, settings, telemetry, halt_switch, concurrency, one_at_a_time)
    sites, days = [work.site_url for work in works], sum(work.days for work in works)
    telemetry.begin(sites, start, end, days, days_stored)
    try:
        for client in list(used)[:1]:
            journal = QuotaJournal(store, client.limiter)
            await journal.restore()
            try:
                await floor.run(waiting, used, journal)
            finally:
                began = min(halt_switch.requested_at, trio.current_time())
                await journal.close(deadline=began + settings.grace_seconds)
    finally:
        status, reason = floor.status()
        telemetry.finish(status, reason, trio.current_time() - began_at)


@attrs.define(eq=False)
class _Account:
    """Properties of one account that wait for their turn, and its workers."""

    client: SearchConsole
    crew: Crew
    waiting: deque[Work] = attrs.field(factory=deque)
    refusal: Outcome | None = None
    """Why the others need not be asked for."""


@attrs.define(eq=False)
class _Floor:
    clients: Mapping[str, SearchConsole]
    settings: Settings
    telemetry: MergedRuns
    outer: HaltSwitch
    concurrency: Concurrency | None
    one_at_a_time: bool
    _accounts: list[_Account] = attrs.field(factory=list, init=False)
    _refused_sites: set[str] = attrs.field(factory=set, init=False)
    _count: int = attrs.field(default=0, init=False)
    _bad: int = attrs.field(default=0, init=False)
    """How many works did not end as they should."""
    _turn_settings: Settings = attrs.field(init=False)
    _automatic: Sequence[Instrument] = attrs.field(default=(), init=False)
    _journal: QuotaJournal = attrs.field(init=False)
    _nursery: trio.Nursery = attrs.field(init=False)

    def status(self) -> tuple[str, str]:
        """Status of all together, and why."""
        if self.outer.halt is not None:
            return self.outer.halt.status, self.outer.halt.reason
        if self._bad:
            return "failed", f"{self._bad:,} of {self._count:,} properties"
        return "complete", ""

    async def run(
        self,
        waiting: Sequence[Work],
        clients: Collection[SearchConsole],
        journal: QuotaJournal,
    ) -> None:
        """Do what waits."""
        self._journal, self._count = journal, len(waiting)
        total = self.concurrency or Concurrency(self.settings.max_concurrency)
        runs_at_once = 1 if self._is_plain_loop or self.one_at_a_time else None
        accounts = {
            id(client): _Account(client, Crew(total, self._start_more, runs_at_once))
            for client in clients
        }
        for work in waiting:
            accounts[id(self.clients[work.site_url])].waiting.append(work)
        self._accounts = list(accounts.values())
        if total.setting == "auto":
            self._automatic = [self._automate(total)]
        runs = 1 if self.one_at_a_time else min(len(waiting), total.limit * len(accounts))
        self._turn_settings = attrs.evolve(
            self.settings, max_waiting_bytes=max(1, self.settings.max_waiting_bytes // runs)
        )
        with total.followed_by(partial(self._follow, total)):
            async with trio.open_nursery() as self._nursery:
                self._start_more()

    @property
    def _is_plain_loop(self) -> bool:
        return self.concurrency is None and self.settings.max_concurrency == 1

    def _automate(self, total: Concurrency) -> Instrument:
        if len(self._accounts) > 1:
            raise UsageError(
                "max_concurrency auto finds out for one account only, and here are "
                f"{len(self._accounts)}: give a number, of workers for each"
            )
        [account] = self._accounts
        limiter, user = account.client.limiter, account.client.user
        return _WithThoseWaiting(AutoConcurrency(total, limiter, user, ""), account.waiting)

    def _follow(self, total: Concurrency, previous: int, reason: str) -> None:
        """There are more or fewer workers than before."""
        self.telemetry.tell(ConcurrencyChanged(previous, total.limit, reason))
        for account in self._accounts:
            account.crew.deal()
        self._start_more()

    def _start_more(self) -> None:
        """Begin as many runs as there is room for, the least work first."""
        while (account := self._next_account()) is not None:
            work = account.waiting.popleft()
            refusal = self._refusal(account, work)
            if refusal is None:
                member = account.crew.join()
                turn = self._turn(account, member)
                self._nursery.start_soon(self._take, account, work, member, turn)
            else:
                self._conclude(work, refusal)

    def _next_account(self) -> _Account | None:
        if self.one_at_a_time and any(len(account.crew) for account in self._accounts):
            return None
        able = [each for each in self._accounts if each.waiting and each.crew.has_room]
        return min(able, key=lambda account: account.waiting[0].days, default=None)

    def _refusal(self, account: _Account, work: Work) -> Outcome | None:
        """Why a property is not to be asked for."""
        if self.outer.halt is not None:
            halt = self.outer.halt
            return Outcome(halt.status, f"not begun: {halt.reason}", error=halt.error)
        if work.site_url in self._refused_sites:
            return Outcome("failed", "not asked for: Google refused this site above")
        return account.refusal

    def _turn(self, account: _Account, member: Member) -> Turn:
        return Turn(
            account.client,
            self._turn_settings,
            None if self._is_plain_loop else member.concurrency,
            self._journal,
            self.outer,
            [member, self.telemetry.member(), *self._automatic],
        )

    async def _take(self, account: _Account, work: Work, member: Member, turn: Turn) -> None:
        self.telemetry.tell(PropertyStarted(work.site_url, work.days))
        try:
            outcome = await work.run(turn)
            self._tell(work, outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not take others along
            outcome = _outcome_of(error)
            self._conclude(work, outcome)
        finally:
            account.crew.leave(member)
        self._learn(account, work, outcome)
        self._start_more()

    def _learn(self, account: _Account, work: Work, outcome: Outcome) -> None:
        """See what an outcome means for others."""
        error = outcome.error
        if isinstance(error, DatabaseInUseError):
            return  # in Postgres each property has a writer of its own
        if isinstance(error, StorageError):
            self.outer.request(Halt("the database failed", status="failed", error=error))
        elif isinstance(error, PermissionDeniedError):
            self._refused_sites.add(work.site_url)
        elif isinstance(error, DailyLimitExceededError):
            for each in self._accounts:
                each.refusal = _refusal_by(outcome)
        elif isinstance(error, _ENDS_ACCOUNT):
            account.refusal = _refusal_by(outcome)

    def _conclude(self, work: Work, outcome: Outcome) -> None:
        work.conclude(outcome)
        self._tell(work, outcome)

    def _tell(self, work: Work, outcome: Outcome) -> None:
        self._bad += outcome.status not in _GOOD
        self.telemetry.tell(
            PropertyFinished(
                work.site_url, outcome.status, outcome.reason, outcome.days, outcome.rows
            )
        )


def _refusal_by(outcome: Outcome) -> Outcome:
    return Outcome(outcome.status, f"not asked for after {outcome.reason}", error=outcome.error)


def _outcome_of(error: Exception) -> Outcome:
    """What a turn that ended with an error came to."""
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, GscTrioError):
        return Outcome("failed", str(cause), error=cause)
    logger.error("a property failed with an error that no one expected", exc_info=error)
    return Outcome("failed", f"an error that no one expected: {cause!r}", error=cause)


@attrs.frozen
class _WithThoseWaiting:
    """Tells of work that is left when it is only for properties that have not begun."""

    inner: Instrument
    waiting: Collection[Work]

    def handle(self, event: Event) -> None:
        """Hand an event on."""
        if isinstance(event, BatchTaken):
            event = attrs.evolve(event, queue_depth=event.queue_depth + len(self.waiting))
        self.inner.handle(event)
