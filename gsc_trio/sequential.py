"""The sequential path: what ``max_concurrency=1`` runs, and what every concurrent run must equal.

This loop is the specification. Jobs wait in a queue, first in, first out; the first few are
fetched; pages are handed over in the order of the queue; a full page puts its day's next job at
the end. There is no nursery, no channel and no second task here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice

import attrs
import trio

from gsc_trio.client import Failure
from gsc_trio.config import Settings
from gsc_trio.delivery import Delivery
from gsc_trio.errors import StorageError
from gsc_trio.fetcher import Fetcher
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import FetchAgain, Halt, InFlightChanges, Job, Page
from gsc_trio.retry import RetryPolicy
from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    HaltRequested,
    JobsReturned,
    MemoryMeasured,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.memory import resident_bytes

WORKER = "sequential"
"""What its one worker is called in events and in the in-flight registry."""


@attrs.define(eq=False)
class SequentialRun:
    """A run that fetches and hands over everything, one HTTP request at a time.

    Args:
        plan: the jobs to begin with, in order.
        delivery: where pages go.
        fetcher: what asks Google.
        retry_policy: what is done about failures.
        settings: the batch size.
        halt_switch: what stops the run, from outside and from here.
    """

    plan: Iterable[Job]
    delivery: Delivery
    fetcher: Fetcher
    retry_policy: RetryPolicy
    settings: Settings
    halt_switch: HaltSwitch
    _queue: deque[Job] = attrs.field(init=False)
    _answered: dict[Job, Page] = attrs.field(factory=dict, init=False)
    _in_flight: dict[Job, str] = attrs.field(factory=dict, init=False)
    """Jobs that are out or answered, and not handed over yet; each with who fetches it."""

    async def run(self) -> None:
        """Work until the plan is done or the run is halted."""
        self._queue = deque(dict.fromkeys(self.plan))
        self.delivery.instruments.handle(WorkerStarted(WORKER))
        try:
            with self.halt_switch.scope:
                await self._fetch_everything()
        except StorageError as error:
            self.halt_switch.request(Halt(str(error), status="failed", error=error))
        finally:
            with self._grace(), suppress(StorageError):
                await self._hand_over_the_rest()
                await self._give_back(list(self._in_flight))
            self.delivery.instruments.handle(WorkerEnded(WORKER))
        if self.halt_switch.halt is not None:
            self.delivery.instruments.handle(HaltRequested(self.halt_switch.halt))

    async def _fetch_everything(self) -> None:
        client, site = self.fetcher.client, self.fetcher.query.site_url
        failures_in_a_row = 0
        while self._queue:
            # Never further ahead than a batch: what is answered waits in memory for its turn.
            next_jobs = islice(self._queue, self.settings.batch_size)
            jobs = [job for job in next_jobs if job not in self._answered]
            with await client.limiter.acquire(client.user, site, len(jobs), at_least=1) as grant:
                jobs = jobs[: grant.count]
                await self._take(jobs)
                began_at = trio.current_time()
                failures = await self.fetcher.fetch(jobs, grant, self._receive)
            self._tell_finished(jobs, failures, trio.current_time() - began_at)
            self.retry_policy.note_pages(len(jobs) - len(failures), grant)
            failures_in_a_row = failures_in_a_row + 1 if failures else 0
            if failures:
                await self._give_back([failure.job for failure in failures])
                verdict = self.retry_policy.judge(failures, grant, failures_in_a_row)
                if isinstance(verdict, Halt):
                    self.halt_switch.request(verdict)
                else:
                    await trio.sleep(verdict)

    async def _receive(self, page: Page) -> None:
        queue, switch = self._queue, self.halt_switch
        self._answered[page.job] = page
        while queue and queue[0] in self._answered and switch.halt is None:
            page = self._answered.pop(queue[0])
            verdict = await self.delivery.deliver([page], InFlightChanges())
            queue.popleft()
            del self._in_flight[page.job]
            if page.is_full:
                queue.append(page.follow_up)
            if isinstance(verdict, FetchAgain):
                queue.extend(map(Job, verdict.days))
            elif verdict is not None:
                switch.request(verdict)

    async def _hand_over_the_rest(self) -> None:
        """After a halt: what was answered is paid for, though an earlier page is missing."""
        halt, hurried = self.halt_switch.halt, self.halt_switch.hurried
        if halt is None or isinstance(halt.error, StorageError):
            return
        for job in [each for each in self._queue if each in self._answered]:
            if not hurried.is_set():
                await self.delivery.deliver([self._answered.pop(job)], InFlightChanges())
                del self._in_flight[job]

    # The in-flight registry, so that a crash can be told as the concurrent path tells it.

    async def _take(self, jobs: Iterable[Job]) -> None:
        taken = dict.fromkeys(jobs, WORKER)
        self._in_flight.update(taken)
        self.delivery.instruments.handle(BatchTaken(WORKER, len(taken), *self._depths()))
        await self.delivery.record_in_flight(InFlightChanges(taken=tuple(taken.items())))

    async def _give_back(self, jobs: Sequence[Job]) -> None:
        if jobs:
            for job in jobs:
                del self._in_flight[job]
            self.delivery.instruments.handle(JobsReturned(len(jobs), *self._depths()))
            await self.delivery.record_in_flight(InFlightChanges(returned=tuple(jobs)))

    def _depths(self) -> tuple[int, int]:
        """How many jobs wait, and how many are in flight."""
        in_flight = len(self._in_flight)
        return len(self._queue) - in_flight, in_flight

    def _tell_finished(
        self, jobs: Sequence[Job], failures: Sequence[Failure], seconds: float
    ) -> None:
        telemetry = self.delivery.instruments
        telemetry.handle(BatchFinished(WORKER, len(jobs), len(failures), seconds))
        waiting_bytes = sum(page.content_bytes for page in self._answered.values())
        telemetry.handle(MemoryMeasured(resident_bytes(), waiting_bytes))

    def _grace(self) -> trio.CancelScope:
        began = min(self.halt_switch.requested_at, trio.current_time())
        return trio.CancelScope(shield=True, deadline=began + self.settings.grace_seconds)
