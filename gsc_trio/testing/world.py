"""A simulated world: server, network, clocks, store and crashing processes under one seed.

::

    report = simulate(seed=7)   # raises BrokenPromiseError, with the command that replays it

A seed draws a `gsc_trio.testing.scenario.Scenario`: a run against a fake Search Console is killed,
halted and started again several times, with faults everywhere, in virtual time. A last process has
no faults and must complete. All the while, and after each life, the promises of
``playbook/RELIABILITY.md`` are checked (`gsc_trio.testing.promises`).

The same seed gives the same trace, always: tasks are scheduled deterministically, and all chance
is drawn from the seed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import httpx
import trio

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.errors import StorageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, Job
from gsc_trio.paginator import plan_jobs
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.store.base import StoredDay
from gsc_trio.store.ledger import stored_days
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import (
    ConcurrencyChanged,
    Event,
    HaltRequested,
    JobsRetried,
    PageCommitted,
    QuotaPaused,
)
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.testing.determinism import deterministic_scheduling
from gsc_trio.testing.latency import Latency
from gsc_trio.testing.network_faults import NetworkFault
from gsc_trio.testing.oracle import oracle
from gsc_trio.testing.promises import (
    BrokenPromiseError,
    LifeRecord,
    Promises,
    committed_jobs,
)
from gsc_trio.testing.quota import Quota
from gsc_trio.testing.scenario import (
    SITE,
    STORE_FAULTS,
    TODAY,
    Content,
    Life,
    Scenario,
    draw_network_fault,
    draw_scenario,
    server_faults,
)
from gsc_trio.testing.search_console import FakeSearchConsole
from gsc_trio.testing.simulated_network import SimulatedNetwork, open_simulated_network
from gsc_trio.testing.simulated_process import (
    DeathClock,
    MachineClocks,
    ProcessDiedError,
    ProcessTransport,
    SimulatedProcess,
)
from gsc_trio.testing.simulated_store import SimulatedDisk, SimulatedStore
from gsc_trio.testing.transport import open_streaming_transport
from gsc_trio.testing.virtual_time import SpillInMemory, run_in_virtual_time

HANG_SECONDS = 10 * 86_400.0
"""A life that takes longer hangs: whatever pauses a scenario can ask for end sooner."""

STRANGER = "a stranger"
STRANGER_SECONDS = 10.0
"""How long a stranger rests between two bursts, on average."""

EASY_LIFE = Life(
    dies_after_steps=None,
    halts_after_seconds=None,
    hurries=False,
    downtime_seconds=0.0,
    reboots=False,
    clock_jump_seconds=0.0,
)


class SimulatedBugError(Exception):
    """An error that nobody foresaw, in a task of the process."""


@attrs.frozen
class WorldReport:
    """What became of a world."""

    seed: int
    lives: int
    deaths: int
    halts: int
    queries: int
    virtual_seconds: float
    trace: tuple[str, ...] = attrs.field(repr=False)

    @property
    def digest(self) -> str:
        """The trace in short."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


def simulate(seed: int, trace: list[str] | None = None) -> WorldReport:
    """Run the world of a seed and check every promise.

    Raises:
        BrokenPromiseError: which promise was broken, how, and the command that replays it.
    """
    scenario = draw_scenario(seed)
    world = World(scenario, oracle(scenario.content), trace)
    try:
        with deterministic_scheduling(seed):
            return run_in_virtual_time(world.run)
    except Exception as error:
        cause = _first_leaf(error)
        text = cause if isinstance(cause, BrokenPromiseError) else f"an error came out: {cause!r}"
        replay = f"replay: python -m gsc_trio.testing --seed {seed}"
        raise BrokenPromiseError(f"{text}\n{replay}") from error
    finally:
        world.disk.close()


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@attrs.define(eq=False)
class RecordingQuota(Quota):
    """A quota that remembers when queries of ours arrived."""

    arrivals: list[float] = attrs.field(factory=list, init=False)

    def admit(self, site_url: str, user: str) -> bool:
        """Count a query that arrives now."""
        if user != STRANGER:
            self.arrivals.append(trio.current_time())
        return super().admit(site_url, user)


class World:
    """One world; `simulate` runs it."""

    def __init__(self, scenario: Scenario, expected: str, trace: list[str] | None = None) -> None:
        self.scenario = scenario
        self.expected = expected
        """What the database must hold in the end."""
        self.disk = SimulatedDisk()
        self.clocks = MachineClocks()
        self.is_hard = True
        """Whether faults may strike."""
        self.trace = [] if trace is None else trace
        self._chance = random.Random(f"world {scenario.seed}")
        self.quota = RecordingQuota(queries_per_minute=scenario.settings.queries_per_minute)
        self.server = FakeSearchConsole(
            [scenario.content.simulated_property()],
            quota=self.quota,
            latency=Latency(
                seconds_per_call=scenario.seconds_per_call,
                jitter=0.5,
                parallel_parts=scenario.parallel_parts,
                seed=scenario.seed,
            ),
            faults=server_faults(scenario, self._chance, lambda: self.is_hard),
            last_final_day=Content.last_final_day(),
            part_order=scenario.part_order,
            line_break=scenario.line_break,
        )
        self.promises = Promises(scenario, self.server, self.disk, self.quota.arrivals)

    async def run(self) -> WorldReport:
        """Live all lives, then one without faults that must complete."""
        lives: list[LifeRecord] = []
        async with (
            open_streaming_transport(self.server) as transport,
            open_simulated_network(
                transport, delay=self._network_delay, choose=self._network_fault
            ) as network,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._strange)
            for number, life in enumerate(self.scenario.lives):
                lives.append(await self._live(f"life-{number}", life, network))
                await trio.sleep(life.downtime_seconds)
                self._change_machine(life)
            self.is_hard = False
            lives.append(await self._live("last-life", EASY_LIFE, network))
            nursery.cancel_scope.cancel()
        self.promises.check_quota()
        self.promises.check_end(lives[-1], self.expected)
        return WorldReport(
            seed=self.scenario.seed,
            lives=len(lives),
            deaths=sum(record.summary is None for record in lives),
            halts=sum(record.summary is not None for record in lives) - 1,
            queries=len(self.quota.arrivals),
            virtual_seconds=trio.current_time(),
            trace=tuple(self.trace),
        )

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{trio.current_time():.6f} {text}")

    async def _live(self, name: str, life: Life, network: SimulatedNetwork) -> LifeRecord:
        """One process, from its start to its end."""
        self.note(f"{name} starts")
        process = SimulatedProcess(name)
        connection, content = self.disk.connection, self.scenario.content
        record = LifeRecord(name, committed_jobs(connection), next_job(connection, content))
        summary = None
        with _dying(process, life.dies_after_steps), trio.fail_after(HANG_SECONDS):
            try:
                with process.scope:
                    summary = await self._backfill(process, life, network, record)
            except* ProcessDiedError:
                if not process.is_dead:
                    raise
            except* (SimulatedBugError, StorageError) as errors:
                # A bug of the one task of the sequential path; a database that cannot be read.
                self.note(f"{name} ends with {errors.exceptions}")
        record.summary = None if process.is_dead else summary
        self.note(f"{name} ends: {record.summary.status if record.summary else 'dead'}")
        self.promises.check_life(record)
        return record

    async def _backfill(
        self, process: SimulatedProcess, life: Life, network: SimulatedNetwork, record: LifeRecord
    ) -> RunSummary:
        content, switch, diary = self.scenario.content, HaltSwitch(), _Diary(self, record)
        settings = attrs.evolve(self.scenario.settings, access_token=f"secret-of-{process.name}")
        if not self.is_hard:
            # What a stranger used up is missing for a minute yet; and answers take their time.
            settings = attrs.evolve(settings, retry_budget=30, read_timeout_seconds=120.0)
        store = SimulatedStore(
            self.disk, process, delay=self._store_delay, choose=self._store_fault
        )
        limiter = RateLimiter(
            queries_per_minute=settings.queries_per_minute,
            instruments=Instruments([diary]),
            clock=self.clocks.moment,
        )
        changes = self.scenario.concurrency_changes
        concurrency = Concurrency(settings.initial_concurrency) if changes else None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._interrupt, life, switch, record)
            nursery.start_soon(self._change_concurrency, concurrency)
            async with open_search_console(
                settings,
                limiter=limiter,
                transport=_BuggyTransport(network, process, self._bug),
            ) as client:
                summary = await backfill(
                    client,
                    content.query,
                    store,
                    start=content.start,
                    end=content.end,
                    concurrency=concurrency,
                    instruments=[diary],
                    halt_switch=switch,
                    spill=SpillInMemory(),
                    today=TODAY,
                )
            record.ended_at = trio.current_time()
            nursery.cancel_scope.cancel()
        return summary

    async def _interrupt(self, life: Life, switch: HaltSwitch, record: LifeRecord) -> None:
        if life.halts_after_seconds is not None:
            await trio.sleep(life.halts_after_seconds)
            record.interrupted_at = trio.current_time()
            switch.request(Halt("interrupted by SIGINT", status="interrupted"))
            if life.hurries:
                await trio.sleep(0.1)
                record.is_hurried = True
                switch.hurry()

    async def _change_concurrency(self, concurrency: Concurrency | None) -> None:
        if concurrency is not None:
            for seconds, limit in self.scenario.concurrency_changes:
                await trio.sleep(seconds)
                concurrency.change(limit, "by chance")

    async def _strange(self) -> None:
        """Someone else spends the same quota, as long as times are hard."""
        per_minute = self.scenario.stranger_queries_per_minute
        while per_minute and self.is_hard:
            seconds = self._chance.expovariate(1 / STRANGER_SECONDS)
            await trio.sleep(seconds)
            for _ in range(round(per_minute * seconds / 60)):
                self.quota.admit(SITE, STRANGER)

    def _change_machine(self, life: Life) -> None:
        if life.reboots:
            self.clocks.reboot()
        self.clocks.wall_offset += life.clock_jump_seconds

    # What is drawn as it comes.

    def _network_delay(self) -> float:
        return self._chance.uniform(0, self.scenario.max_network_delay)

    def _store_delay(self) -> float:
        return self._chance.uniform(0, self.scenario.max_store_delay)

    def _network_fault(self) -> NetworkFault | None:
        if self.is_hard and self._chance.random() < self.scenario.network_fault_chance:
            return draw_network_fault(self._chance)
        return None

    def _store_fault(self) -> str | None:
        if self.is_hard and self._chance.random() < self.scenario.store_fault_chance:
            return self._chance.choice(STORE_FAULTS)
        return None

    def _bug(self) -> None:
        if self.is_hard and self._chance.random() < self.scenario.bug_chance:
            raise SimulatedBugError("something nobody foresaw")


@attrs.define(eq=False)
class _BuggyTransport(ProcessTransport):
    """A way into the network in which errors come up that nobody foresaw."""

    bug: Callable[[], None]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, if nothing comes up."""
        self.bug()
        return await super().handle_async_request(request)


@attrs.frozen
class _Diary:
    """An instrument that writes down what a process does, and checks it."""

    world: World
    record: LifeRecord

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        note = self.world.note
        match event:
            case PageCommitted(page):
                note(f"committed {page.job}, {len(page.rows)} rows")
            case HaltRequested(halt):
                note(f"halts, {halt.status}: {halt.reason}")
            case ConcurrencyChanged(previous, current):
                note(f"{previous} workers become {current}")
            case QuotaPaused(key, seconds):
                note(f"{key} pauses for {seconds:g} s")
            case JobsRetried(jobs, error):
                note(f"retries {len(jobs)} jobs: {error!r}")
            case _:
                pass
        self.world.promises.check_event(event, self.record)


@contextmanager
def _dying(process: SimulatedProcess, steps: int | None) -> Iterator[None]:
    if steps is None:
        yield
        return
    clock = DeathClock(process, steps)
    trio.lowlevel.add_instrument(clock)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(clock)


def next_job(connection: sqlite3.Connection, content: Content) -> Job | None:
    """What a process has to begin with."""
    stored: dict[dt.date, StoredDay] = {}
    for (dataset_id,) in connection.execute("SELECT id FROM dataset"):
        stored = stored_days(connection, dataset_id, data_state="final")
    return next(iter(plan_jobs(stored, content.start, content.end)), None)
