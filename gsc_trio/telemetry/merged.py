"""Several runs at once, told as one: so that gauges and progress bars need to know of one run only.

Each run has an instrument of its own, `MergedRuns.member`. Depths are added up over the runs,
workers have the run's number before their name, and how one run begins and ends is told as a
property's beginning and end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import count

import attrs

from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    ConcurrencyChanged,
    DayLeftOut,
    Event,
    JobsReturned,
    MemoryMeasured,
    PageCommitted,
    RunFinished,
    RunStarted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.instrument import Instrument, Instruments


@attrs.define
class _Depths:
    """What a run has under way."""

    queue: int = 0
    in_flight: int = 0
    waiting_bytes: int = 0


@attrs.define(eq=False)
class MergedRuns:
    """Tells instruments of several runs as if they were one.

    Args:
        instruments: who is told.
    """

    _instruments: Instruments = attrs.field(converter=Instruments)
    _total: _Depths = attrs.field(factory=_Depths, init=False)
    _numbers: count[int] = attrs.field(factory=lambda: count(1), init=False)

    def begin(
        self,
        sites: Sequence[str],
        start: dt.date,
        end: dt.date,
        days_planned: int,
        days_stored: tuple[dt.date, ...] = (),
    ) -> None:
        """All of it begins.

        Args:
            sites: the property of each run that has something to fetch.
            start: the first day of any.
            end: the last day of any.
            days_planned: how many days are to be fetched, of all of them.
            days_stored: the days between that none of them lacks.
        """
        what = sites[0] if len(sites) == 1 else f"{len(sites):,} properties"
        self._instruments.handle(
            RunStarted(what, start, end, days_planned, days_stored, len(sites))
        )

    def finish(self, status: str, reason: str, duration_seconds: float) -> None:
        """All of it is over; parameters as for `RunFinished`."""
        self._instruments.handle(RunFinished(status, reason, duration_seconds))

    def tell(self, event: Event) -> None:
        """Tell of something that is not about one run."""
        self._instruments.handle(event)

    def member(self) -> Instrument:
        """An instrument for one run."""
        return _Member(self._instruments, self._total, next(self._numbers))


@attrs.define(eq=False)
class _Member:
    _instruments: Instruments
    _total: _Depths
    _number: int
    _own: _Depths = attrs.field(factory=_Depths)

    def handle(self, event: Event) -> None:
        """Tell of an event as the whole sees it."""
        match event:
            case RunStarted() | ConcurrencyChanged():
                return
            case RunFinished():
                self._set(queue=0, in_flight=0, waiting_bytes=0)
                return
            case BatchTaken() | JobsReturned():
                self._set(queue=event.queue_depth, in_flight=event.in_flight)
                event = attrs.evolve(
                    event, queue_depth=self._total.queue, in_flight=self._total.in_flight
                )
            case PageCommitted() | DayLeftOut():
                self._set(in_flight=max(0, self._own.in_flight - 1))
            case MemoryMeasured(waiting_bytes=waiting_bytes):
                self._set(waiting_bytes=waiting_bytes)
                event = attrs.evolve(event, waiting_bytes=self._total.waiting_bytes)
            case _:
                pass
        if isinstance(
            event, BatchTaken | BatchFinished | WorkerStarted | WorkerEnded | WorkerCrashed
        ):
            event = attrs.evolve(event, worker=f"{self._number}/{event.worker}")
        self._instruments.handle(event)

    def _set(self, **depths: int) -> None:
        for name, depth in depths.items():
            change = depth - getattr(self._own, name)
            setattr(self._own, name, depth)
            setattr(self._total, name, getattr(self._total, name) + change)
