from __future__ import annotations

import datetime as dt

import pytest
import trio.testing

from gsc_trio.cli.day_states import DayState, DayStates
from gsc_trio.cli.progress import Progress
from gsc_trio.errors import BackendError
from gsc_trio.model import Day, Halt, Job, Page, Row
from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    Event,
    HaltRequested,
    JobsRetried,
    PageAnswered,
    PageCommitted,
    RequestSent,
    RunStarted,
)
from gsc_trio.testing import Fault, MissingPart, Refuse
from tests.telemetry.runs import SITE, TODAY, fake_with_faults, run_with

START = dt.date(2026, 1, 1)
DAYS = [START + dt.timedelta(days=number) for number in range(4)]
TO_COME, IN_FLIGHT, FETCHED, LEFT_OUT, COMMITTED, STORED = DayState


def of(day: int, *, start_row: int = 0, is_full: bool = False) -> Page:
    return Page(Job(DAYS[day], start_row), [Row()], 1 if is_full else 2, content_bytes=1)


def states_after(*events: Event, stored: tuple[int, ...] = ()) -> list[int]:
    states = DayStates()
    days_stored = tuple(DAYS[number] for number in stored)
    states.handle(RunStarted(SITE, DAYS[0], DAYS[-1], 4 - len(stored), days_stored))
    for event in events:
        states.handle(event)
    return list(states.snapshot())


def sent(*days: int) -> RequestSent:
    return RequestSent(len(days), len(days) > 1, tuple(Job(DAYS[day]) for day in days))


def test_what_an_earlier_run_stored_is_told_from_what_is_to_come() -> None:
    assert states_after(stored=(1, 3)) == [TO_COME, STORED, TO_COME, STORED]


def test_a_day_is_in_flight_then_fetched_then_committed() -> None:
    assert states_after(
        sent(0, 1, 2),
        PageAnswered(of(0)),
        PageAnswered(of(1)),
        PageCommitted(of(0)),
        DayCompleted(Day(DAYS[0], 1)),
    ) == [COMMITTED, FETCHED, IN_FLIGHT, TO_COME]


def test_after_a_full_page_the_day_goes_on() -> None:
    page = of(0, is_full=True)
    assert states_after(sent(0), PageAnswered(page), PageCommitted(page))[0] == TO_COME


def test_what_failed_is_to_come_again() -> None:
    error = BackendError("busy", status=503)
    retried = JobsRetried((Job(DAYS[1]),), error, 1.0)
    assert states_after(sent(0, 1), PageAnswered(of(0)), retried)[:2] == [FETCHED, TO_COME]


def test_a_day_that_is_not_final_is_left_out() -> None:
    assert states_after(sent(3), PageAnswered(of(3)), DayLeftOut(DAYS[3]))[3] == LEFT_OUT


def test_a_halt_gives_up_what_is_in_flight_and_keeps_what_was_fetched() -> None:
    halt = HaltRequested(Halt("enough"))
    assert states_after(sent(0, 1), PageAnswered(of(0)), halt)[:2] == [FETCHED, TO_COME]


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_with_faults_ends_with_every_day_committed_or_left_out(
    max_concurrency: int, autojump_clock: trio.testing.MockClock
) -> None:
    faults = [Fault(MissingPart()), Fault(Refuse(503), whole_request=True)]
    fake = fake_with_faults(*faults, last_final_day=TODAY - dt.timedelta(days=3))
    progress, seen = Progress(), set[int]()

    class Watch:
        def handle(self, event: Event) -> None:
            progress.handle(event)
            snapshot = progress.snapshot()
            assert snapshot is not None
            seen.update(snapshot.day_states)

    await run_with([Watch()], fake, end=TODAY, max_concurrency=max_concurrency, batch_size=4)
    snapshot = progress.snapshot()
    assert snapshot is not None
    assert list(snapshot.day_states) == [COMMITTED] * 12 + [LEFT_OUT] * 3
    assert seen >= {TO_COME, IN_FLIGHT, FETCHED, COMMITTED, LEFT_OUT}
