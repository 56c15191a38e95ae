"""A simulated fleet: thousands of properties, many users, machines that die, stop and are replaced.

::

    report = run_fleet(FleetScenario(properties=5_000, days=480, users=33, machines=8))

What is real: the rate limiter, the quota journal, coordinators, workers, retries, and how many
properties share them (`gsc_trio.many`). What is simulated, in virtual time: Google, whose quota
counts each arrival by site, user and project; the network; the database with its leases
(`gsc_trio.testing.fleet_database`). Each user's properties are a shard, and a shard is leased to
one machine at a time. Machines are killed, and stopped for longer than a lease lasts; others take
their shards over, and a machine that goes on again finds its token spent.

A machine is stopped where it deals with others: before, in and after a transaction, while it
connects, and while it waits for an answer; not in the microseconds in which it sends.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import attrs
import trio

from gsc_trio.client import Admit, Failure, SearchConsole
from gsc_trio.config import Settings
from gsc_trio.errors import RateLimitExceededError, StorageError
from gsc_trio.machine_clock import Moment
from gsc_trio.many import backfill_many
from gsc_trio.model import Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.testing.determinism import deterministic_scheduling
from gsc_trio.testing.fleet_database import (
    BEAT_SECONDS,
    FULL_PAGE_ROWS,
    Fence,
    FleetDatabase,
    FleetStore,
    Machine,
    Shard,
)
from gsc_trio.testing.quota import Quota
from gsc_trio.testing.simulated_process import ProcessDiedError
from gsc_trio.testing.virtual_time import run_in_virtual_time

END = dt.date(2026, 6, 17)
TODAY = dt.date(2026, 6, 20)
WINDOW_SECONDS = 60.0
PAGE_BYTES = 400
_ROW = Row(("https://example.com/", "a query"), 1.0, 10.0, 3.0)
_LAST_PAGE, _FULL_PAGE = [_ROW] * (FULL_PAGE_ROWS - 1), [_ROW] * FULL_PAGE_ROWS


@attrs.frozen
class FleetScenario:
    """What a fleet has to do, and what befalls it."""

    properties: int = 5_000
    days: int = 480
    users: int = 33
    machines: int = 8
    slots: int = 6
    """How many shards a machine works on at once."""
    kills: int = 2
    stops: int = 2
    stop_seconds: float = 90.0
    trouble_seconds: float = 3_000.0
    """Within how much time machines are killed and stopped."""
    downtime_seconds: float = 120.0
    """How long a machine that was killed is away."""
    max_concurrency: int = 10
    batch_size: int = 50
    queries_per_minute: int = 1_200
    project_queries_per_minute: int = 40_000
    seconds_per_call: float = 0.35
    seconds_to_connect: float = 0.05
    """Between the commit of a grant and the sending of its queries: at most so long."""
    parallel_parts: bool = False
    """Whether Google answers a batch's queries side by side, rather than one after another."""
    seed: int = 1

    @property
    def start(self) -> dt.date:
        """The first day."""
        return END - dt.timedelta(days=self.days - 1)

    @property
    def settings(self) -> Settings:
        """Of every machine; each shard has its slice of the project's limit."""
        return Settings(
            max_concurrency=self.max_concurrency,
            batch_size=self.batch_size,
            queries_per_minute=self.queries_per_minute,
            project_queries_per_minute=self.project_queries_per_minute // self.users,
        )

    def sites_of(self, user: int) -> list[str]:
        """The properties that a user asks for."""
        numbers = range(user, self.properties, self.users)
        return [f"sc-domain:property-{number}.example" for number in numbers]


@attrs.frozen
class FleetReport:
    """What became of it."""

    queries: int
    pages: int
    wrong_days: int
    """Days that miss a page, or have one too many."""
    committed_again: int
    """Pages that were committed already when they were committed."""
    refused: int
    """Queries that were over a limit, as Google counts."""
    peak_user: int
    """The most queries of one user in any 60 seconds."""
    peak_site: int
    peak_project: int
    project_use: float
    """Share of the project's limit used, from the first minute to the first shard's end: then all
    have work."""
    take_overs: int
    fenced: int
    """Writes that were refused, since their shard had been taken over."""
    virtual_minutes: float


def pages_of(day: dt.date) -> int:
    """How many pages a day has: the first of a month takes two."""
    return 2 if day.day == 1 else 1


def run_fleet(scenario: FleetScenario) -> FleetReport:
    """Run a fleet until all is done."""
    with deterministic_scheduling(scenario.seed):
        return run_in_virtual_time(Fleet(scenario).run)


@attrs.define(eq=False)
class _Journey:
    """A request on its way."""

    arrived: trio.Event = attrs.field(factory=trio.Event)
    let_in: int = 0
    """How many of its queries were within the quota."""


@attrs.define(eq=False)
class _Google:
    """Answers everyone, and counts."""

    scenario: FleetScenario
    nursery: trio.Nursery
    quota: Quota
    chance: random.Random
    arrivals: list[int] = attrs.field(factory=list)
    """How many queries arrived in each second."""

    def send(self, site_url: str, user: str, count: int) -> _Journey:
        """A request leaves, and arrives whatever becomes of its sender."""
        journey = _Journey()
        self.nursery.start_soon(self._travel, site_url, user, count, journey)
        return journey

    async def _travel(self, site_url: str, user: str, count: int, journey: _Journey) -> None:
        await trio.sleep(self.chance.uniform(0.0, 0.1))
        second = int(trio.current_time())
        self.arrivals.extend([0] * (second + 1 - len(self.arrivals)))
        self.arrivals[second] += count
        journey.let_in = sum(self.quota.admit(site_url, user) for _ in range(count))
        journey.arrived.set()

    def time_to_connect(self) -> float:
        """How long a machine takes until it can send, in seconds."""
        return self.chance.uniform(0.0, self.scenario.seconds_to_connect)

    def latency(self) -> float:
        """How long a query takes, in seconds."""
        return self.scenario.seconds_per_call * self.chance.uniform(0.8, 1.2)


class _Client(SearchConsole):
    """A machine's client: its requests reach the simulated Google without HTTP."""

    def __init__(
        self, limiter: RateLimiter, user: str, settings: Settings, machine: Machine, google: _Google
    ) -> None:
        self.limiter, self.user, self.settings = limiter, user, settings
        self._machine = machine
        self._google = google

    async def query(
        self,
        query: SearchAnalyticsQuery,
        job: Job,
        *,
        grant: Grant | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """One query, as a batch of one."""
        async with self.query_batch(query, [job], grant=grant, admit=admit) as answers:
            answer = await anext(answers)
        if isinstance(answer, Failure):
            raise answer.error
        return answer

    @asynccontextmanager
    async def query_batch(
        self,
        query: SearchAnalyticsQuery,
        jobs: Sequence[Job],
        *,
        grant: Grant | None = None,
        admit: Admit | None = None,
    ) -> AsyncIterator[AsyncIterator[Page | Failure]]:
        """Many queries in one request; parameters and answers as for `SearchConsole`'s."""
        if grant is None or admit is None:
            raise TypeError("a run brings its permits, and says when an answer has room")
        await trio.sleep(self._google.time_to_connect())
        await self._machine.awake()
        await grant.confirm()
        self._machine.check_alive()
        grant.mark_sent(len(jobs))
        journey = self._google.send(query.site_url, self.user, len(jobs))
        async with aclosing(self._answer_in_turn(jobs, grant, admit, journey)) as answers:
            yield answers

    async def _answer_in_turn(
        self, jobs: Sequence[Job], grant: Grant, admit: Admit, journey: _Journey
    ) -> AsyncGenerator[Page | Failure, None]:
        await journey.arrived.wait()
        ready_at = trio.current_time() + self._google.latency()
        for number, job in enumerate(jobs):
            if number and not self._google.scenario.parallel_parts:
                ready_at += self._google.latency()
            if trio.current_time() < ready_at:
                await trio.sleep_until(ready_at)
                await self._machine.awake()
            grant.settle()
            if number >= journey.let_in:
                yield Failure(job, RateLimitExceededError("too fast", status=429))
            else:
                async with admit(job, PAGE_BYTES):
                    page = _page_of(job)
                yield page


def _page_of(job: Job) -> Page:
    is_last = job.start_row // FULL_PAGE_ROWS + 1 == pages_of(job.data_date)
    return Page(job, _LAST_PAGE if is_last else _FULL_PAGE, FULL_PAGE_ROWS, PAGE_BYTES)


@attrs.define(eq=False)
class Fleet:
    """One fleet; `run_fleet` runs it."""

    scenario: FleetScenario
    database: FleetDatabase = attrs.field(init=False)
    quota: Quota = attrs.field(init=False)
    _chance: random.Random = attrs.field(init=False)
    _machines: dict[str, Machine] = attrs.field(factory=dict, init=False)
    _google: _Google = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        scenario = self.scenario
        self._chance = random.Random(f"fleet {scenario.seed}")
        shards = [Shard(f"user-{n}", scenario.sites_of(n)) for n in range(scenario.users)]
        self.database = FleetDatabase(shards, scenario.start, END)
        self.quota = Quota(scenario.queries_per_minute, scenario.project_queries_per_minute)

    async def run(self) -> FleetReport:
        """Run until all is done, and look at what is there."""
        scenario = self.scenario
        async with trio.open_nursery() as nursery:
            self._google = _Google(scenario, nursery, self.quota, self._chance)
            nursery.start_soon(self._make_trouble, nursery)
            async with trio.open_nursery() as machines:
                for number in range(scenario.machines):
                    machines.start_soon(self._keep_up, f"machine-{number}")
            nursery.cancel_scope.cancel()
        return self._report()

    async def _keep_up(self, name: str) -> None:
        """A machine, and the process that takes its place when it dies."""
        while self._has_work():
            machine = self._machines[name] = Machine(name)
            try:
                with machine.scope:
                    await self._work(machine)
            except* ProcessDiedError:
                await trio.lowlevel.checkpoint()
            if machine.is_dead:
                await trio.sleep(self.scenario.downtime_seconds)

    def _has_work(self) -> bool:
        return any(shard.done_at is None for shard in self.database.shards)

    async def _work(self, machine: Machine) -> None:
        """Take shards, as many as there are slots, one after the other so that all get some."""
        slots = trio.Semaphore(self.scenario.slots)
        async with trio.open_nursery() as nursery:
            while self._has_work():
                await machine.awake()
                fence = self.database.claim(machine.name) if slots.value else None
                if fence is None:
                    await trio.sleep(BEAT_SECONDS)
                else:
                    slots.acquire_nowait()
                    nursery.start_soon(self._work_on, machine, fence, slots)
                    await trio.sleep(self._chance.uniform(0.0, 0.1))

    async def _work_on(self, machine: Machine, fence: Fence, slots: trio.Semaphore) -> None:
        """Bring a shard up to date, until it is done or somebody else's."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._beat, machine, fence)
                is_done = await self._fetch(machine, fence)
                await machine.awake()
                self.database.release(fence, is_done=is_done)
                nursery.cancel_scope.cancel()
        except* StorageError:
            await trio.lowlevel.checkpoint()  # it was taken over
        slots.release()

    async def _beat(self, machine: Machine, fence: Fence) -> None:
        while True:
            await machine.awake()
            self.database.check(fence)
            fence.shard.heard_at = trio.current_time()
            await trio.sleep(BEAT_SECONDS)

    async def _fetch(self, machine: Machine, fence: Fence) -> bool:
        def moment() -> Moment:
            return Moment(1e9 + trio.current_time(), trio.current_time(), machine.name)

        settings, user = self.scenario.settings, fence.shard.user
        limiter = RateLimiter(
            queries_per_minute=settings.queries_per_minute,
            project_queries_per_minute=settings.project_queries_per_minute,
            clock=moment,
        )
        summaries = await backfill_many(
            _Client(limiter, user, settings, machine, self._google),
            [SearchAnalyticsQuery(site, row_limit=FULL_PAGE_ROWS) for site in fence.shard.sites],
            FleetStore(self.database, machine, fence),
            start=self.scenario.start,
            end=END,
            today=TODAY,
        )
        return all(summary.status == "complete" for summary in summaries)

    async def _make_trouble(self, nursery: trio.Nursery) -> None:
        """Kill machines and stop them, at random times."""
        scenario = self.scenario
        kinds = ["kill"] * scenario.kills + ["stop"] * scenario.stops
        self._chance.shuffle(kinds)
        times = sorted(self._chance.uniform(0.0, scenario.trouble_seconds) for _ in kinds)
        for time, kind in zip(times, kinds, strict=True):
            await trio.sleep_until(time)
            busy = sorted({each.holder for each in self.database.shards if each.holder})
            if not busy:
                return
            machine = self._machines[self._chance.choice(busy)]
            if kind == "kill":
                machine.kill()
            else:
                machine.stop()
                nursery.start_soon(self._let_go_on, machine)

    async def _let_go_on(self, machine: Machine) -> None:
        await trio.sleep(self.scenario.stop_seconds)
        machine.go_on()

    def _report(self) -> FleetReport:
        database, quota = self.database, self.quota
        first_end = int(min(shard.done_at or 0.0 for shard in database.shards))
        steady = self._google.arrivals[int(WINDOW_SECONDS) : first_end]
        limit_a_second = self.scenario.project_queries_per_minute / WINDOW_SECONDS
        return FleetReport(
            queries=sum(self._google.arrivals),
            pages=database.pages,
            wrong_days=database.wrong_days(pages_of),
            committed_again=database.committed_again,
            refused=quota.refused,
            peak_user=quota.peak("user"),
            peak_site=quota.peak("site"),
            peak_project=quota.peak("project"),
            project_use=sum(steady) / (limit_a_second * max(1, len(steady))),
            take_overs=database.take_overs,
            fenced=database.fenced,
            virtual_minutes=trio.current_time() / 60,
        )
