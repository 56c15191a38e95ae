"""The promises of ``playbook/RELIABILITY.md``, as they are checked in a simulated world."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections import Counter
from collections.abc import Sequence

import attrs

from gsc_trio.model import Job
from gsc_trio.store.moved_days import TIMES_AGAIN
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.events import BatchTaken, DayLeftOut, Event, PageAnswered
from gsc_trio.testing.faults import ShiftedRows
from gsc_trio.testing.scenario import Scenario
from gsc_trio.testing.search_console import FakeSearchConsole
from gsc_trio.testing.simulated_store import SimulatedDisk

WINDOW_SECONDS = 60.0

HALT_SECONDS = 5.0
"""How long a halt may take, from its request to the end of the run."""


class BrokenPromiseError(AssertionError):
    """A promise was broken."""


@attrs.define(eq=False)
class LifeRecord:
    """What is known of one process."""

    name: str
    committed_before: frozenset[Job]
    """What the ledger held when it began."""
    first_job: Job | None
    """What it had to begin with; None if there was nothing left to do."""
    answered: set[Job] = attrs.field(factory=set)
    """Pages that it was given."""
    out_of_bounds: list[Event] = attrs.field(factory=list)
    """Batches by which a limit was passed."""
    summary: RunSummary | None = None
    """How it ended; None if it was killed."""
    interrupted_at: float | None = None
    is_hurried: bool = False
    """Whether it was interrupted twice."""
    ended_at: float | None = None


def committed_jobs(connection: sqlite3.Connection) -> frozenset[Job]:
    """What the ledger holds."""
    pages = connection.execute("SELECT data_date, start_row FROM page_ledger")
    return frozenset(Job(dt.date.fromisoformat(date), start_row) for date, start_row in pages)


@attrs.define(eq=False)
class Promises:
    """The promises of one world, by the numbers of ``playbook/RELIABILITY.md``.

    Args:
        scenario: what the world is like.
        server: what was asked.
        disk: what was stored.
        arrivals: when queries of ours arrived, in seconds of the world.
    """

    scenario: Scenario
    server: FakeSearchConsole
    disk: SimulatedDisk
    arrivals: Sequence[float]
    _answered_in_vain: set[Job] = attrs.field(factory=set, init=False)
    """Pages that the last process was given and did not commit."""

    def check_event(self, event: Event, record: LifeRecord) -> None:
        """Queue and registry are bounded, at every instant (5). Called by an instrument."""
        if isinstance(event, PageAnswered):
            record.answered.add(event.page.job)
        if isinstance(event, DayLeftOut):
            record.answered.discard(Job(event.data_date))
        if isinstance(event, BatchTaken):
            settings = self.scenario.settings
            # The sequential path's queue is the plan.
            is_plan = self.scenario.is_sequential
            is_bounded = (
                (event.queue_depth <= settings.max_queue_size or is_plan)
                and event.in_flight <= self.scenario.in_flight_limit
                and event.jobs <= settings.batch_size
            )
            if not is_bounded:  # an error would only switch the instrument off
                record.out_of_bounds.append(event)

    def check_life(self, record: LifeRecord) -> None:
        """Check what a process left behind."""
        _check(not record.out_of_bounds, f"beyond the settings: {record.out_of_bounds[:1]}")
        self._check_database()
        self._check_fetched_once(record)
        self._check_start(record)
        self._check_halt(record)
        self._check_registry(record)
        self._check_secret(record)

    def check_quota(self) -> None:
        """Our queries in any 60 seconds, as the server counts them, are within the limit (2)."""
        limit = self.scenario.settings.queries_per_minute
        for first, last in zip(self.arrivals, self.arrivals[limit:], strict=False):
            _check(
                last - first >= WINDOW_SECONDS,
                f"{limit + 1} queries within {last - first:.6f} s, the first at {first:.6f}",
            )

    def check_end(self, record: LifeRecord, oracle: str) -> None:
        """The last process completed, and the database is the oracle's (1)."""
        summary = record.summary
        _check(summary is not None, "the last process did not end")
        if summary is not None:
            _check(summary.status == "complete", f"the last process: {summary.reason}")
        stored, expected = self._comparable(self.disk.dump()), self._comparable(oracle)
        _check(
            stored == expected,
            f"the database is not the oracle's: missing {sorted(set(expected) - set(stored))[:3]}, "
            f"extra {sorted(set(stored) - set(expected))[:3]}",
        )

    def _shifted_days(self) -> set[str]:
        """Days whose rows moved while they were fetched."""
        calls = self.server.calls
        return {call.data_date for call in calls if isinstance(call.fault, ShiftedRows)}

    def _doubtful_days(self) -> set[str]:
        """Those among them of which nobody can say what they should hold.

        What moves below a day's first page is noticed, and the day is fetched again, but not for
        ever. A row that is new in a first page pushes another past all of them.
        """
        times = Counter(
            call.data_date for call in self.server.calls if isinstance(call.fault, ShiftedRows)
        )
        return {day for day, count in times.items() if count > TIMES_AGAIN} | {
            call.data_date
            for call in self.server.calls
            if isinstance(call.fault, ShiftedRows) and call.start_row == 0
        }

    def _comparable(self, dump: str) -> list[str]:
        doubtful = self._doubtful_days()
        return [
            line for line in dump.splitlines() if not any(f"'{day}'" in line for day in doubtful)
        ]

    def _check_database(self) -> None:
        """Each day has just the rows that the ledger says (1)."""
        connection = self.disk.connection
        _check(not connection.in_transaction, "a transaction was left open")
        query = """
            SELECT data_date, sum(row_count),
                (SELECT count(*) FROM search_analytics_by_page_query AS stored
                 WHERE stored.data_date = page_ledger.data_date)
            FROM page_ledger GROUP BY data_date
        """
        if committed_jobs(connection):
            shifted = self._shifted_days()
            for data_date, entered, stored in connection.execute(query):
                # Rows that a page repeats take the place of those of the page before.
                is_sound = stored <= entered if data_date in shifted else stored == entered
                _check(is_sound, f"{data_date}: ledger {entered}, stored {stored} rows")

    def _check_fetched_once(self, record: LifeRecord) -> None:
        """Committed pages are not fetched again, others hardly (3), unless their rows moved."""
        shifted = self._shifted_days()
        asked = [job for job in self._asked_by(record) if str(job.data_date) not in shifted]
        again = record.committed_before.intersection(asked)
        _check(not again, f"{record.name} fetched committed pages again: {sorted(again)[:3]}")
        twice = self._answered_in_vain.intersection(asked)
        _check(
            len(twice) <= self.scenario.in_flight_limit,
            f"{record.name} fetched {len(twice)} pages twice",
        )
        self._answered_in_vain = record.answered - committed_jobs(self.disk.connection)

    def _check_start(self, record: LifeRecord) -> None:
        """A process goes on where the one before it stopped (4).

        Batches of several workers arrive in any order, some again and again and some not at all.
        While the first job is asked for in vain, others come from what may be in flight beside it
        and from what batches are dealt from; so it is among as many different ones.
        """
        settings = self.scenario.settings
        dealt_from = min(
            settings.max_queue_size, settings.batch_size * self.scenario.highest_concurrency
        )
        limit = self.scenario.in_flight_limit + dealt_from
        first = list(dict.fromkeys(self._asked_by(record)))[:limit]
        if record.first_job is None:
            _check(not first, f"{record.name} had nothing to ask for, and asked for {first[:1]}")
        elif len(first) == limit:
            _check(record.first_job in first, f"{record.name} began with {first[:3]}")

    def _asked_by(self, record: LifeRecord) -> list[Job]:
        """What the process asked for, as far as it has arrived."""
        user = f"secret-of-{record.name}"
        return [
            Job(dt.date.fromisoformat(call.data_date), call.start_row)
            for call in self.server.calls
            if call.user == user
        ]

    def _check_halt(self, record: LifeRecord) -> None:
        """A halt is soon over (4)."""
        if record.interrupted_at is not None and record.ended_at is not None:
            seconds = record.ended_at - record.interrupted_at
            _check(seconds <= HALT_SECONDS, f"{record.name} took {seconds:.1f} s to halt")

    def _check_registry(self, record: LifeRecord) -> None:
        """Who ended in good order, and had the time to say so, has nothing in flight (4)."""
        scenario = self.scenario
        has_time = scenario.settings.grace_seconds > 0 and scenario.max_store_delay == 0
        if (
            record.summary
            and has_time
            and not scenario.store_fault_chance
            and not record.is_hurried
        ):
            left = self.disk.connection.execute("SELECT data_date FROM in_flight").fetchall()
            _check(not left, f"{record.name} ended with {len(left)} jobs in flight")

    def _check_secret(self, record: LifeRecord) -> None:
        """An access token is nowhere (6)."""
        reason = record.summary.reason if record.summary else ""
        _check("secret-of" not in reason, f"a secret is in the reason: {reason}")
        _check("secret-of" not in self.disk.dump(), "a secret is in the database")


def _check(is_kept: bool, message: str) -> None:
    if not is_kept:
        raise BrokenPromiseError(message)
