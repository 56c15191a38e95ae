"""How far each day of a run is, counted from its events: what the live view's heat map shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import IntEnum

import attrs

from gsc_trio.model import Job
from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    Event,
    HaltRequested,
    JobsRetried,
    PageAnswered,
    PageCommitted,
    RequestSent,
    RowsMoved,
    RunStarted,
)


class DayState(IntEnum):
    """What there is of a day; of several days that share a cell, the lowest is shown."""

    TO_COME = 0
    """It, or its next page, is not asked for yet."""
    IN_FLIGHT = 1
    """Google was asked and has not answered."""
    FETCHED = 2
    """It was answered, and waits for its turn to be committed."""
    LEFT_OUT = 3
    """It is empty because it is not final yet; a later run asks for it again."""
    COMMITTED = 4
    """This run committed all of its pages."""
    STORED = 5
    """An earlier run did."""


@attrs.define(eq=False)
class DayStates:
    """An instrument that keeps the state of every day of the range."""

    start: dt.date = dt.date.min
    _states: bytearray = attrs.field(factory=bytearray)

    def snapshot(self) -> bytes:
        """A `DayState` for each day, from the first on."""
        return bytes(self._states)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case RunStarted(_, start, end):
                self.start = start
                self._states = bytearray([DayState.TO_COME]) * ((end - start).days + 1)
                self._set(event.days_stored, DayState.STORED)
            case RequestSent(jobs=jobs):
                self._set(_days(jobs), DayState.IN_FLIGHT)
            case JobsRetried(jobs):
                self._set(_days(jobs), DayState.TO_COME)
            case PageAnswered(page):
                self._set([page.job.data_date], DayState.FETCHED)
            case PageCommitted(page) if page.is_full:
                self._set([page.job.data_date], DayState.TO_COME)
            case DayCompleted(day):
                self._set([day.data_date], DayState.COMMITTED)
            case RowsMoved(data_date):
                self._set([data_date], DayState.TO_COME)
            case DayLeftOut(data_date):
                self._set([data_date], DayState.LEFT_OUT)
            case HaltRequested():
                self._forget_requests()
            case _:
                pass

    def _set(self, days: Iterable[dt.date], state: DayState) -> None:
        for day in days:
            self._states[(day - self.start).days] = state

    def _forget_requests(self) -> None:
        """Workers are being cancelled: what is not answered now goes back to the queue."""
        self._states = self._states.replace(bytes([DayState.IN_FLIGHT]), bytes([DayState.TO_COME]))


def _days(jobs: Iterable[Job]) -> Iterable[dt.date]:
    return (job.data_date for job in jobs)
