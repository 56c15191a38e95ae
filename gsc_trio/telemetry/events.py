"""What happens in a run, as typed events: by page, batch or state change, never by row.

Events carry facts, no wording and no secrets. Whoever shows them (progress bar, log, metrics)
is an `gsc_trio.telemetry.instrument.Instrument`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from gsc_trio.model import Day, Halt, Job, Page


@attrs.frozen
class RunStarted:
    """The plan is made; fetching begins."""

    site_url: str
    start: dt.date
    end: dt.date
    days_planned: int
    """Days that are missing or not complete."""
    days_stored: tuple[dt.date, ...] = ()
    """Days of the range that were complete before."""
    properties: int = 1
    """How many properties have something to fetch; of several, ``site_url`` says how many."""


@attrs.frozen
class BatchTaken:
    """A worker took a batch from the queue."""

    worker: str
    jobs: int
    queue_depth: int
    """Jobs in the queue after it."""
    in_flight: int
    """Jobs in flight after it."""


@attrs.frozen
class JobsReturned:
    """Jobs went back to the front of the queue: no permits yet, no answer, or the run halts."""

    jobs: int
    queue_depth: int
    """Jobs in the queue after it."""
    in_flight: int
    """Jobs in flight after it."""


@attrs.frozen
class BatchFinished:
    """A worker is done with an HTTP request, well or badly."""

    worker: str
    jobs: int
    failed: int
    """Jobs that went back to the queue."""
    duration_seconds: float

    @property
    def status(self) -> str:
        """``ok``, ``partial`` or ``failed``."""
        if not self.failed:
            return "ok"
        return "failed" if self.failed == self.jobs else "partial"


@attrs.frozen
class RequestSent:
    """An HTTP request goes out."""

    queries: int
    """Queries it counts as against the quota: 1, or a batch's parts."""
    is_batch: bool
    jobs: tuple[Job, ...] = ()
    """What it asks for."""


@attrs.frozen
class RequestFinished:
    """An HTTP request is over: its answer was read to the end, or given up."""

    method: str
    url: str
    """It names the property, and holds no secret."""
    queries: int
    status: int | None
    """Of the answer, where one came; a batch's parts have their own."""
    duration_seconds: float
    """From sending to the end of the answer, with the time in which nothing more was read."""
    error: BaseException | None
    """Why there is no good answer, or not all of it."""


@attrs.frozen
class PageAnswered:
    """A page has arrived; it may have to wait for its turn to be committed."""

    page: Page


@attrs.frozen
class TransactionCommitted:
    """The store committed a transaction; its pages are told one by one after it."""

    pages: int
    rows: int
    duration_seconds: float


@attrs.frozen
class PageCommitted:
    """A page was handed over in its turn: to the store, then to `on_page`."""

    page: Page


@attrs.frozen
class DayCompleted:
    """The last page of a day was handed over."""

    day: Day


@attrs.frozen
class DayLeftOut:
    """A day came back empty because its data is not final yet; a later run asks for it again."""

    data_date: dt.date


@attrs.frozen
class RowsMoved:
    """The last page of a day was handed over, and its pages repeat rows: it is fetched again."""

    data_date: dt.date


@attrs.frozen
class JobsRetried:
    """Jobs failed and went back to the queue."""

    jobs: tuple[Job, ...]
    error: BaseException
    delay_seconds: float
    """How long the worker backs off."""


@attrs.frozen
class QuotaApproaching:
    """A limit is used to 80 % or more; told once until use falls below it again."""

    key: str
    used: int
    limit: int


@attrs.frozen
class QuotaUsed:
    """Permits were taken: how much of a limit of a minute is used now.

    That they come back, a minute after their queries were answered, is not told: ask `used_now`.
    """

    key: str
    used: int
    limit: int
    used_now: Callable[[], int] = attrs.field(
        default=attrs.Factory(lambda self: lambda: self.used, takes_self=True), eq=False, repr=False
    )
    """Says how much is used when it is called, then or later, in any thread."""


@attrs.frozen
class QuotaExceeded:
    """Google refused queries as too many."""

    key: str
    queries: int
    error: BaseException


@attrs.frozen
class QuotaPaused:
    """Google said too fast, or that the load quota is used up: all workers of the key pause."""

    key: str
    seconds: float
    error: BaseException


@attrs.frozen
class WorkerStarted:
    """A worker begins, at the start of a run or when concurrency was raised."""

    worker: str


@attrs.frozen
class WorkerEnded:
    """A worker is gone: there is no more work, the run halts, or concurrency was lowered."""

    worker: str


@attrs.frozen
class ConcurrencyChanged:
    """Another number of workers from now on."""

    previous: int
    current: int
    reason: str


@attrs.frozen
class WorkerCrashed:
    """A worker ended with an error that no one expected; its batch is queued again."""

    worker: str
    error: BaseException
    crashes: int


@attrs.frozen
class HaltRequested:
    """The run is to stop; workers are being cancelled."""

    halt: Halt


@attrs.frozen
class HaltFinished:
    """The run has stopped: no worker is left, and what was answered is written or given up."""

    halt: Halt
    duration_seconds: float
    """Since it was asked for."""


@attrs.frozen
class RunFinished:
    """The run is over, well or badly; nothing comes after it."""

    status: str
    """As in the summary: ``complete``, ``halted``, ``failed`` or ``interrupted``."""
    reason: str
    """Why it is not complete."""
    duration_seconds: float
    """Since `RunStarted`."""


@attrs.frozen
class PropertyStarted:
    """One of several properties has its turn; `RunStarted` is about all of them."""

    site_url: str
    days_planned: int
    """Days that are missing or not complete."""


@attrs.frozen
class PropertyFinished:
    """One of several properties is done with, well or badly, or was never begun."""

    site_url: str
    status: str
    """As in the summary."""
    reason: str
    """Why it is not complete."""
    days: int
    """Days completed."""
    rows: int


@attrs.frozen
class MemoryMeasured:
    """How much memory the process and the waiting pages take."""

    resident_bytes: int
    waiting_bytes: int
    """Answers that wait in memory for their turn, by the length of their JSON."""


Event = (
    RunStarted
    | BatchTaken
    | JobsReturned
    | BatchFinished
    | RequestSent
    | RequestFinished
    | PageAnswered
    | TransactionCommitted
    | PageCommitted
    | DayCompleted
    | DayLeftOut
    | RowsMoved
    | JobsRetried
    | QuotaUsed
    | QuotaApproaching
    | QuotaExceeded
    | QuotaPaused
    | WorkerStarted
    | WorkerEnded
    | WorkerCrashed
    | ConcurrencyChanged
    | HaltRequested
    | HaltFinished
    | RunFinished
    | PropertyStarted
    | PropertyFinished
    | MemoryMeasured
)
