"""What happens in a simulated world: everything is drawn from one seed, before it begins."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable

import attrs

from gsc_trio.config import Settings
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing.faults import (
    BadGzip,
    BadJson,
    CutOff,
    DoubledPart,
    Fault,
    HtmlPage,
    MissingPart,
    Refuse,
    ShiftedRows,
    Stall,
    UnknownPart,
)
from gsc_trio.testing.network_faults import Drip, NetworkFault, Reset, Silence, Truncate
from gsc_trio.testing.property import SimulatedProperty

SITE = "sc-domain:simulated.example"
TODAY = dt.date(2026, 6, 20)

TOO_FAST = Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded.")
TOO_FAST_429 = Refuse(429, "rateLimitExceeded", "Rate Limit Exceeded", retry_after="7")
LOAD_QUOTA = Refuse(403, "quotaExceeded", "Search Analytics load quota exceeded.")
UNAUTHENTICATED = Refuse(401, "authError", "Invalid Credentials")
FORBIDDEN = Refuse(403, "forbidden", "User does not have sufficient permission for site.")

PART_FAULTS = (
    BadJson(), MissingPart(), DoubledPart(), UnknownPart(), HtmlPage(), Refuse(500), Refuse(503),
    TOO_FAST, Stall(3.0), Stall(200.0), ShiftedRows(1),
)  # fmt: skip
RARE_PART_FAULTS = (TOO_FAST_429, LOAD_QUOTA, UNAUTHENTICATED, FORBIDDEN)
REQUEST_FAULTS = (
    CutOff(), HtmlPage(), Refuse(500), Refuse(503, retry_after="20"), TOO_FAST, BadGzip(),
    Stall(5.0), Stall(300.0),
)  # fmt: skip

STORE_FAULTS = ("the disk is full", "the disk reports an error", "another program keeps it locked")


@attrs.frozen
class Content:
    """What the server holds and what is asked of it. There are few, so the oracle is asked once."""

    number: int
    days: int
    row_limit: int

    @property
    def end(self) -> dt.date:
        """The last day; in some worlds the newest days are not final yet."""
        return TODAY - dt.timedelta(days=1 if self.number % 4 == 0 else 3)

    @staticmethod
    def last_final_day() -> dt.date:
        """The newest day that is final."""
        return TODAY - dt.timedelta(days=3)

    @property
    def start(self) -> dt.date:
        """The first day."""
        return self.end - dt.timedelta(days=self.days - 1)

    @property
    def query(self) -> SearchAnalyticsQuery:
        """What is asked for."""
        return SearchAnalyticsQuery(SITE, row_limit=self.row_limit)

    def simulated_property(self) -> SimulatedProperty:
        """Days without rows, with a page, with several, and with exactly full ones."""
        chance = random.Random(self.number)
        choices = (0, 1, self.row_limit - 1, self.row_limit, self.row_limit + 1, 2 * self.row_limit)
        days = [self.end - dt.timedelta(days=number) for number in range(self.days)]
        rows = {day: chance.choice(choices) for day in days if chance.random() < 0.4}
        return SimulatedProperty(SITE, seed=self.number, rows_per_day=4, rows_by_day=rows)


@attrs.frozen
class Life:
    """How one process fares."""

    dies_after_steps: int | None
    """After how many steps of its scheduler it is killed."""
    halts_after_seconds: float | None
    """When someone presses Ctrl-C."""
    hurries: bool
    """Whether they press it twice."""
    downtime_seconds: float
    """How long until the next process is started."""
    reboots: bool
    """Whether the machine is started anew meanwhile."""
    clock_jump_seconds: float
    """By how much the machine's wall clock is set meanwhile."""


@attrs.frozen
class Scenario:
    """A world's course."""

    seed: int
    content: Content
    settings: Settings
    parallel_parts: bool
    part_order: str
    line_break: bytes
    seconds_per_call: float
    max_network_delay: float
    max_store_delay: float
    part_fault_chance: float
    request_fault_chance: float
    network_fault_chance: float
    store_fault_chance: float
    bug_chance: float
    stranger_queries_per_minute: float
    """How many queries a stranger sends who shares the quota."""
    concurrency_changes: tuple[tuple[float, int], ...]
    """How many workers a process is told to have, after how many seconds each; often it is not."""
    lives: tuple[Life, ...]
    """Processes that have a hard time; the one after them has an easy one."""

    @property
    def is_sequential(self) -> bool:
        """Whether processes take the plain loop."""
        return self.settings.max_concurrency == 1 and not self.concurrency_changes

    @property
    def highest_concurrency(self) -> int:
        """The most workers that a process ever has."""
        changes = [limit for _, limit in self.concurrency_changes]
        return max([self.settings.initial_concurrency, *changes])

    @property
    def in_flight_limit(self) -> int:
        """The most jobs that a process may ever have in flight."""
        if self.is_sequential:
            return self.settings.batch_size
        return self.settings.in_flight_limit_at(self.highest_concurrency)


def draw_scenario(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(f"scenario {seed}")
    quota = chance.choice((5, 12, 60, 1_200))
    batch_size = chance.choice((1, 2, 4, 10))
    settings = Settings(
        max_concurrency=chance.choice((1, 2, 3, 3, 5, 10)),
        batch_size=batch_size,
        max_queue_size=chance.choice((1, 3, 1_000)),
        max_in_flight=chance.choice((None, None, 1, 5)),
        max_waiting_bytes=chance.choice((1, 500, 64 * 1024 * 1024)),
        queries_per_minute=quota,
        retry_budget=chance.choice((3, 30, 100)),
        max_worker_crashes=chance.choice((0, 3)),
        read_timeout_seconds=chance.choice((1.0, 30.0, 120.0)),
        grace_seconds=chance.choice((0.0, 0.5, 4.0)),
    )
    wildness = chance.choice((0.0, 0.3, 1.0))
    reboots = chance.random() < 0.2
    return Scenario(
        seed=seed,
        content=Content(
            number=chance.randrange(8),
            days=chance.choice((3, 6, 9)),
            row_limit=chance.choice((3, 8)),
        ),
        settings=settings,
        parallel_parts=chance.random() < 0.5,
        part_order=chance.choice(("sent", "reversed", "shuffled")),
        line_break=chance.choice((b"\r\n", b"\n")),
        seconds_per_call=chance.choice((0.0, 0.35, 5.0)),
        max_network_delay=chance.choice((0.0, 0.1, 3.0)),
        max_store_delay=chance.choice((0.0, 0.05, 0.4)),
        part_fault_chance=wildness * chance.choice((0.0, 0.1, 0.3)),
        request_fault_chance=wildness * chance.choice((0.0, 0.1, 0.3)),
        network_fault_chance=wildness * chance.choice((0.0, 0.1, 0.3)),
        store_fault_chance=wildness * chance.choice((0.0, 0.0, 0.05)),
        bug_chance=wildness * chance.choice((0.0, 0.0, 0.05)),
        stranger_queries_per_minute=chance.choice((0.0, 0.0, 0.3, 1.5)) * min(quota, 60),
        concurrency_changes=_draw_concurrency_changes(seed),
        lives=tuple(_draw_life(chance, reboots) for _ in range(chance.randrange(4))),
    )


def _draw_concurrency_changes(seed: int) -> tuple[tuple[float, int], ...]:
    chance = random.Random(f"concurrency {seed}")
    if chance.random() < 0.6:
        return ()
    return tuple(
        (chance.choice((0.0, 0.1, 1.0, 10.0)) * chance.random(), chance.choice((1, 1, 2, 4, 10)))
        for _ in range(chance.randrange(1, 12))
    )


def _draw_life(chance: random.Random, reboots: bool) -> Life:
    dies = chance.random() < 0.7
    return Life(
        dies_after_steps=int(10 ** chance.uniform(1.0, 3.3)) if dies else None,
        halts_after_seconds=chance.uniform(0, 60) if chance.random() < 0.3 else None,
        hurries=chance.random() < 0.3,
        downtime_seconds=chance.choice((0.0, chance.uniform(0, 70), 600.0)),
        reboots=reboots and chance.random() < 0.5,
        # A jump while the machine is down too cannot be told from time that has passed.
        clock_jump_seconds=0.0 if reboots else chance.choice((0.0, -3_600.0, 3_600.0)),
    )


@attrs.define(eq=False)
class ChanceFault(Fault):
    """A fault that acts by chance, for as long as it may.

    Args:
        chance: where it is drawn from.
        share: how often it acts, from 0 to 1.
        is_active: whether it may act now.
    """

    chance: random.Random = attrs.field(kw_only=True)
    share: float = attrs.field(kw_only=True)
    is_active: Callable[[], bool] = attrs.field(kw_only=True)

    def strike(self) -> bool:
        """Whether it acts on this match."""
        return self.is_active() and self.chance.random() < self.share


def server_faults(
    scenario: Scenario, chance: random.Random, is_active: Callable[[], bool]
) -> list[Fault]:
    """The faults of the server, by their chances; rare ones act a tenth as often."""
    faults: list[Fault] = []
    for actions, share, whole_request in (
        (PART_FAULTS, scenario.part_fault_chance, False),
        (RARE_PART_FAULTS, scenario.part_fault_chance / 10, False),
        (REQUEST_FAULTS, scenario.request_fault_chance, True),
    ):
        faults += [
            ChanceFault(
                action,
                whole_request=whole_request,
                chance=chance,
                share=share / len(actions),
                is_active=is_active,
            )
            for action in actions
            if share
        ]
    return faults


def draw_network_fault(chance: random.Random) -> NetworkFault:
    """A fault at some byte of an answer, most of which are short."""
    after_bytes = chance.choice((0, 1, chance.randrange(100), chance.randrange(2_000)))
    return chance.choice(
        (
            Reset(after_bytes),
            Truncate(after_bytes),
            Silence(after_bytes),
            Drip(chance.choice((1, 7, 100)), chance.choice((0.01, 1.0))),
        )
    )
