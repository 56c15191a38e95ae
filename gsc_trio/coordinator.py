"""The coordinator: the one owner of the queue, the in-flight registry and the pages that wait.

    plan ─► backlog ─► queue ─► take_batch ─► (a worker fetches) ─► submit_results ─► waiting
              ▲         ▲                          │                                    │
              │         └───── requeue_batch ◄─────┘                                in FIFO order
              │                                                                         ▼
              └──────────────── follow-up job of a full page ◄────────────────────── deliver

Theory of operation:

1. Every job has a sequence number: the plan's jobs in the plan's order, follow-up jobs after them
   in the order in which their pages are handed over. Pages are handed to the sink in the order of
   these numbers, so what the sink sees does not depend on concurrency, batching or timing. Only
   that hand-over waits for order; fetching never does.
2. A job is in flight from the moment it is taken until its page is committed or it goes back.
   The queue holds at most ``max_queue_size`` jobs and the registry at most ``in_flight_limit``,
   at every instant. When jobs go back to the front of a full queue, its tail goes back to the
   backlog (see `gsc_trio.job_queue`).
   Batches are dealt like cards, every n-th job for one of n workers: what they answer side by
   side is then close together in that order, and little has to wait.
3. No deadlock. Whoever takes jobs takes the first in the queue too, and a job that goes back frees
   its own place in the registry. So the next job in line is always in flight, or first in the
   queue with a place free for it. Follow-up jobs are placed by this class, never by a worker, and
   the backlog always has room (it is bounded by the plan: three pages a day at the most, and a day
   whose rows move between them is begun again a few times).
4. Pages that wait weigh at most ``max_waiting_bytes`` in memory, and one page more; see
   `gsc_trio.waiting_room`. An answer is let in by `admit` before it is decoded: rows take several
   times as much room. When the sink is what is slow, `admit` holds the worker back, so that it
   stops reading from its socket.
   What can be done of a page before its turn is done when it comes in, on the event loop: the
   sink's own work is what all pages wait for, one after another.
   Pages that are ready when the sink is go to it together, as many as `MAX_BYTES_TOGETHER` allows:
   a commit waits for the disk, and they wait for it once. Nothing waits for that to happen.
5. Every state change is a synchronous method or a part without a checkpoint. State is put right
   first and awaited after, so cancellation anywhere loses nothing.

Must never: import httpx or sqlite3, or start a task that outlives `open_coordinator`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from typing import Protocol

import attrs
import trio

from gsc_trio.batch import Backpressure, Batch, Halted, NoMoreWork
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.errors import StorageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.job_queue import JobQueue, QueuedJob
from gsc_trio.model import FetchAgain, Halt, InFlightChanges, Job, Page
from gsc_trio.spill import SpillFile
from gsc_trio.telemetry.events import BatchTaken, HaltRequested, JobsReturned
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.waiting_room import WaitingRoom

MAX_BYTES_TOGETHER = 8 * 1024 * 1024
"""How much JSON the pages of one hand-over come from, if there is more than one: hundreds of small
pages. Two full pages at a time (10 MB) would be no faster."""


class PageSink(Protocol):
    """Where pages go in their order, each done before the next."""

    @property
    def takes_several(self) -> bool:
        """Whether pages that are ready at the same time may come together."""

    async def prepare(self, page: Page) -> Page:
        """Do what can be done of a page before its turn, while others are delivered."""

    async def deliver(
        self, pages: Sequence[Page], changes: InFlightChanges
    ) -> Halt | FetchAgain | None:
        """Take pages for good, all or none; a `Halt` stops the run after them."""

    async def record_in_flight(self, changes: InFlightChanges) -> None:
        """Take note of the registry's changes when there is no page to take them along."""


@attrs.frozen
class CoordinatorStatistics:
    """A snapshot, and the highest values so far."""

    queue_depth: int
    """Jobs in the queue."""
    in_flight: int
    """Jobs taken and not yet committed."""
    waiting_bytes: int
    """What the pages that wait in memory weigh."""
    peak_queue_depth: int
    peak_in_flight: int
    peak_waiting_bytes: int
    pages_spilled: int
    """Pages that ever went through the spill file."""


class Coordinator:
    """Hands out jobs and takes pages; made by `open_coordinator`."""

    def __init__(
        self,
        plan: Iterable[Job],
        sink: PageSink,
        *,
        settings: Settings,
        concurrency: Concurrency,
        halt_switch: HaltSwitch,
        instruments: Instruments,
        spill_file: SpillFile,
    ) -> None:
        self._settings = settings
        self._concurrency = concurrency
        self._sink = sink
        self._switch = halt_switch
        self._instruments = instruments
        self._queue = JobQueue(plan, settings.max_queue_size)
        self._in_flight: dict[Job, QueuedJob] = {}
        self._taken: dict[Job, str] = {}
        self._returned: list[Job] = []
        self._waiting = WaitingRoom(settings.max_waiting_bytes, spill_file)
        self._no_more_pages = False
        self._idle_workers = trio.lowlevel.ParkingLot()
        self._writer_wakeup = trio.Event()
        self._writer_ended = trio.Event()
        self._peak_queue_depth = self._peak_in_flight = self._peak_waiting_bytes = 0
        self._note_peaks()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hand pages over while the body runs; leaving it waits for what was answered."""
        # Shielded, so that a cancelled run can still write what was answered. It gets a deadline as
        # soon as the run is to stop, and every way out of the body stops it.
        writer_scope = trio.CancelScope(shield=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hand_over_pages, writer_scope)
            nursery.start_soon(self._watch_switch, writer_scope)
            try:
                yield
            except BaseException as error:
                self.halt(Halt("the run was cancelled", status="interrupted", error=error))
                self._begin_grace(writer_scope)  # the watcher is cancelled too
                raise
            finally:
                self._close()
            await self.finalize()
            nursery.cancel_scope.cancel()

    # What workers call.

    def take_batch(
        self, worker: str, *, max_jobs: int | None = None
    ) -> Batch | Backpressure | Halted | NoMoreWork:
        """The next job and others behind it, in order, or why there are none now.

        Args:
            worker: who takes them; it is told in the in-flight registry.
            max_jobs: at most this many, if that is less than ``batch_size``.
        """
        if self._switch.halt is not None:
            return Halted(self._switch.halt)
        if not self._queue:
            return Backpressure("follow_ups") if self._in_flight else NoMoreWork()
        count = self._takeable(max_jobs or self._settings.batch_size)
        if count == 0:
            return Backpressure("max_in_flight")
        # Workers who answer one job after another, at about the same pace, bring pages in order if
        # each has every n-th of the jobs that are next; what others hold of these is gone already.
        next_jobs = count * self._concurrency.limit - self._unanswered_in_flight
        entries = self._queue.take(count, among=next_jobs)
        jobs = [entry.job for entry in entries]
        self._in_flight.update(zip(jobs, entries, strict=True))
        self._taken.update(dict.fromkeys(jobs, worker))
        self._note_peaks()
        self._writer_wakeup.set()
        self._wake_workers()
        self._instruments.handle(
            BatchTaken(
                worker=worker,
                jobs=len(jobs),
                queue_depth=len(self._queue),
                in_flight=len(self._in_flight),
            )
        )
        return Batch(tuple(jobs))

    async def backpressure_relieved(self) -> None:
        """Wait until `take_batch` may have something else to say."""
        await self._idle_workers.park()

    def relieve(self) -> None:
        """Let a worker look again: the concurrency has changed, and with it what may be taken."""
        self._wake_workers()

    @asynccontextmanager
    async def admit(self, job: Job, content_bytes: int) -> AsyncIterator[None]:
        """Wait until there is room for the answer to a job; it is decoded in the body.

        The room is given back if the body fails, or when the page was submitted and has left.

        Args:
            job: which is in flight.
            content_bytes: how long the answer's JSON is.

        Raises:
            StorageError: the spill file cannot be written.
        """
        await trio.lowlevel.checkpoint()
        entry = await self._reserve_room(job, content_bytes)
        try:
            yield
        except BaseException:
            if entry is not None:
                self._waiting.release(entry.sequence)
            raise

    async def submit_results(self, page: Page) -> None:
        """Take a page. One that was not let in by `admit` is, first.

        An answer to a job that is not in flight, or that was answered already, is left out.

        Raises:
            StorageError: the spill file cannot be written.
        """
        await trio.lowlevel.checkpoint()
        await self._reserve_room(page.job, page.content_bytes)
        if not self._waiting.is_spilling:
            page = await self._sink.prepare(page)
        entry = self._in_flight.get(page.job)
        if entry is None or entry.is_answered:
            return
        entry.is_answered = True
        self._waiting.add(entry.sequence, page)
        self._note_peaks()
        self._writer_wakeup.set()
        await self._waiting.spill_without_room(entry.sequence)

    async def _reserve_room(self, job: Job, content_bytes: int) -> QueuedJob | None:
        entry = self._in_flight.get(job)
        if entry is None or not await self._waiting.reserve(entry.sequence, content_bytes):
            return None
        self._note_peaks()
        return entry

    def requeue_batch(self, jobs: Iterable[Job]) -> None:
        """Put jobs back to the front of the queue; those that are answered stay where they are."""
        entries = []
        for job in jobs:
            entry = self._in_flight.get(job)
            if entry is not None and not entry.is_answered:
                del self._in_flight[job]
                entries.append(entry)
        if not entries:
            return
        for entry in entries:
            self._waiting.release(entry.sequence)
            self._taken.pop(entry.job, None)
            self._returned.append(entry.job)
        self._queue.give_back(entries)
        self._note_peaks()
        self._instruments.handle(JobsReturned(len(entries), len(self._queue), len(self._in_flight)))
        self._writer_wakeup.set()
        self._wake_workers()

    def halt(self, halt: Halt) -> None:
        """Stop the run; the first reason counts. Whatever runs in `worker_scope` is cancelled."""
        self._switch.request(halt)

    @property
    def worker_scope(self) -> trio.CancelScope:
        """The cancel scope that the workers' nursery belongs into."""
        return self._switch.scope

    async def finalize(self) -> Halt | None:
        """When the workers have ended: wait until what they brought is committed.

        Returns:
            Why the run stopped before its plan was done, or None if it is done.
        """
        self._close()
        await self._writer_ended.wait()
        return self._switch.halt

    def statistics(self) -> CoordinatorStatistics:
        """How full everything is, and was."""
        return CoordinatorStatistics(
            queue_depth=len(self._queue),
            in_flight=len(self._in_flight),
            waiting_bytes=self._waiting.bytes_in_memory,
            peak_queue_depth=self._peak_queue_depth,
            peak_in_flight=self._peak_in_flight,
            peak_waiting_bytes=self._peak_waiting_bytes,
            pages_spilled=self._waiting.pages_spilled,
        )

    # When there is something to take.

    @property
    def _unanswered_in_flight(self) -> int:
        """How many jobs are with the workers."""
        return len(self._in_flight) - len(self._waiting)

    def _takeable(self, wanted: int) -> int:
        """How many jobs may be taken now.

        No more than a worker's fair share of what is not answered yet, so that a few jobs are not
        fetched one after another by one worker while the others have nothing to do.

        Less than that only if nothing else can move: a run that is held back by ``max_in_flight``
        would otherwise go on in batches of one, since each commit frees one place. Places become
        free as long as the next job in line is in flight; if it is the first in the queue, only
        taking it helps. It may be taken even if the limit was lowered with the concurrency and too
        many are in flight yet: it has the place of the one that was next before it.
        """
        limit = self._settings.in_flight_limit_at(self._concurrency.limit)
        unanswered = self._queue.total + self._unanswered_in_flight
        share = math.ceil(unanswered / self._concurrency.limit)
        wanted = min(wanted, self._settings.batch_size, share, len(self._queue))
        room = limit - len(self._in_flight)
        if room >= min(wanted, limit):
            return min(wanted, room)
        return max(1, room) if self._queue.first_sequence == self._waiting.next_in_line else 0

    def _wake_workers(self) -> None:
        if self._switch.halt is not None or not (self._queue or self._in_flight):
            self._idle_workers.unpark_all()
        elif self._idle_workers and self._takeable(self._settings.batch_size):
            self._idle_workers.unpark()  # it wakes the next one if there is more to take

    def _note_peaks(self) -> None:
        self._peak_queue_depth = max(self._peak_queue_depth, len(self._queue))
        self._peak_in_flight = max(self._peak_in_flight, len(self._in_flight))
        self._peak_waiting_bytes = max(self._peak_waiting_bytes, self._waiting.bytes_in_memory)

    # The hand-over.

    async def _hand_over_pages(self, scope: trio.CancelScope) -> None:
        """Deliver pages in their order until there will be no more."""
        try:
            with scope:
                while not await self._is_done():
                    self._writer_wakeup = trio.Event()
                    sequences = self._pages_in_turn()
                    if sequences:
                        await self._deliver(sequences)
                    elif self._taken or self._returned:
                        await self._sink.record_in_flight(self._take_changes())
                    else:
                        await self._writer_wakeup.wait()
        except StorageError as error:
            self.halt(Halt(str(error), status="failed", error=error))
        except Exception as error:  # noqa: BLE001 - a callback's; the front door raises it again
            self.halt(Halt(f"a callback raised {error!r}", status="failed", error=error))
        finally:
            self._writer_ended.set()

    async def _is_done(self) -> bool:
        await trio.lowlevel.checkpoint_if_cancelled()
        is_idle = not (self._waiting or self._taken or self._returned)
        return self._switch.hurried.is_set() or (self._no_more_pages and is_idle)

    def _pages_in_turn(self) -> list[int]:
        """Which pages to hand over now, if any."""
        # After a halt jobs in between went back, but what was answered is still written.
        max_bytes = MAX_BYTES_TOGETHER if self._sink.takes_several else 0
        return self._waiting.in_turn(max_bytes, skips_gaps=self._no_more_pages)

    async def _deliver(self, sequences: list[int]) -> None:
        with self._waiting.handing_over():
            pages = [await self._waiting.load(sequence) for sequence in sequences]
            for page in pages:
                if page.is_full and self._switch.halt is None:
                    self._queue.append(page.follow_up)
            self._note_peaks()
            self._wake_workers()
            verdict = await self._sink.deliver(pages, self._take_changes())
            if isinstance(verdict, FetchAgain) and self._switch.halt is None:
                self._queue.begin_again(verdict.days)
            for sequence, page in zip(sequences, pages, strict=True):
                self._waiting.remove(sequence)
                del self._in_flight[page.job]
            if isinstance(verdict, Halt):
                self.halt(verdict)
        self._wake_workers()

    def _take_changes(self) -> InFlightChanges:
        changes = InFlightChanges(returned=tuple(self._returned), taken=tuple(self._taken.items()))
        self._taken, self._returned = {}, []
        return changes

    def _close(self) -> None:
        """No worker will bring another page."""
        self.requeue_batch([job for job, entry in self._in_flight.items() if not entry.is_answered])
        self._no_more_pages = True
        self._writer_wakeup.set()

    async def _watch_switch(self, writer_scope: trio.CancelScope) -> None:
        await self._switch.requested.wait()
        self._begin_grace(writer_scope)
        await self._switch.hurried.wait()
        writer_scope.cancel()

    def _begin_grace(self, writer_scope: trio.CancelScope) -> None:
        """The run is to stop: from now on the hand-over has ``grace_seconds``."""
        deadline = trio.current_time() + self._settings.grace_seconds
        writer_scope.deadline = min(writer_scope.deadline, deadline)
        self._idle_workers.unpark_all()
        if self._switch.halt is not None:
            self._instruments.handle(HaltRequested(self._switch.halt))


@asynccontextmanager
async def open_coordinator(
    plan: Iterable[Job],
    sink: PageSink,
    *,
    settings: Settings,
    concurrency: Concurrency | None = None,
    halt_switch: HaltSwitch | None = None,
    instruments: Instruments | None = None,
    spill: SpillFile | None = None,
) -> AsyncIterator[Coordinator]:
    """Open a coordinator with a nursery of its own; leaving it waits for what was answered.

    When the body is cancelled or fails, pages that were answered are still written within
    ``grace_seconds``.

    Args:
        plan: the jobs to begin with, in order; doubled ones are left out.
        sink: where pages go in their order.
        settings: the limits.
        concurrency: how many workers there are; by default what the settings say.
        halt_switch: what stops the run from outside; by default its own.
        instruments: who is told what happens.
        spill: where pages wait that have no room in memory; by default a temporary file.
    """
    with closing(spill or SpillFile()) as spill_file:
        coordinator = Coordinator(
            plan,
            sink,
            settings=settings,
            concurrency=concurrency or Concurrency(settings.initial_concurrency),
            halt_switch=halt_switch or HaltSwitch(),
            instruments=instruments or Instruments(),
            spill_file=spill_file,
        )
        async with coordinator.running():
            yield coordinator
