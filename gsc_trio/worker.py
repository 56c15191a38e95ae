"""The workers: take, ask the rate limiter, fetch, submit; again until there is no more work.

A worker owns nothing but the batch in its hands. When it must wait for permits, that batch goes
back to the front of the queue first, so that jobs never wait in a sleeping worker. When it fails,
only the parts that failed go back. When it crashes, its batch is queued again, the crash is told,
and a fresh worker takes its place, until there were too many crashes.

When the concurrency is raised, workers are added. When it is lowered, some leave: who has nothing
in its hands at once, others after their batch. Nothing under way is given up for it, and since the
concurrency is never 0, somebody stays for as long as there is work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import attrs
import trio

from gsc_trio.batch import Backpressure, Batch
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.coordinator import Coordinator
from gsc_trio.errors import StorageError
from gsc_trio.fetcher import Fetcher
from gsc_trio.model import Halt
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import Limited
from gsc_trio.retry import RetryPolicy
from gsc_trio.telemetry.events import (
    BatchFinished,
    ConcurrencyChanged,
    MemoryMeasured,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.telemetry.memory import resident_bytes

logger = logging.getLogger("gsc_trio")


@attrs.define(eq=False)
class WorkerPool:
    """The workers on one coordinator, as many as the concurrency says.

    Args:
        coordinator: where jobs come from and pages go to.
        fetcher: what asks Google.
        retry_policy: what is done about failures.
        settings: how large batches, how many crashes.
        concurrency: how many workers, now.
        instruments: who is told what happens.
    """

    coordinator: Coordinator
    fetcher: Fetcher
    retry_policy: RetryPolicy
    settings: Settings
    concurrency: Concurrency
    instruments: Instruments
    leaving: set[str] = attrs.field(factory=set, init=False)
    """The names of workers who are to end, and have not yet."""
    _crashes: int = attrs.field(default=0, init=False)
    _workers: dict[str, _Worker] = attrs.field(factory=dict, init=False)
    _nursery: trio.Nursery = attrs.field(init=False)

    async def run(self) -> None:
        """Work until the plan is done or the run is halted."""
        with self.coordinator.worker_scope, self.concurrency.followed_by(self._follow):
            async with trio.open_nursery() as self._nursery:
                self._add_workers()

    @property
    def surplus(self) -> int:
        """How many workers are to leave; less than 0 if some are missing."""
        return len(self._workers) - len(self.leaving) - self.concurrency.limit

    def _follow(self, previous: int, reason: str) -> None:
        if not self._workers:
            return  # the last one has ended: there is no more work
        self.instruments.handle(ConcurrencyChanged(previous, self.concurrency.limit, reason))
        self._add_workers()
        resting = [worker for worker in reversed(self._workers.values()) if worker.is_resting]
        for worker in resting[: max(0, self.surplus)]:
            worker.dismiss()
        self.coordinator.relieve()  # one that leaves may just have been woken

    def _add_workers(self) -> None:
        names = (name for name in map("worker-{}".format, count(1)) if name not in self._workers)
        while self.surplus < 0:
            name = next(names)
            self._workers[name] = _Worker(name, self)
            self._nursery.start_soon(self._supervise, name)

    async def _supervise(self, name: str) -> None:
        self.instruments.handle(WorkerStarted(name))
        try:
            await self._restart_after_crashes(name)
        finally:
            del self._workers[name]
            self.leaving.discard(name)
            self.instruments.handle(WorkerEnded(name))

    async def _restart_after_crashes(self, name: str) -> None:
        while True:
            try:
                await self._workers[name].run()
            except StorageError as error:
                self.coordinator.halt(Halt(str(error), status="failed", error=error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not take others along
                self._note_crash(name, error)
                self._workers[name] = _Worker(name, self)
                continue
            return

    def _note_crash(self, name: str, error: Exception) -> None:
        self._crashes += 1
        logger.error("%s crashed; its batch is queued again", name, exc_info=error)
        self.instruments.handle(WorkerCrashed(name, error, self._crashes))
        if self._crashes > self.settings.max_worker_crashes:
            self.coordinator.halt(
                Halt(
                    f"workers crashed {self._crashes} times; the last one, {name}, with {error!r}",
                    status="failed",
                )
            )


@attrs.define(eq=False)
class _Worker:
    name: str
    pool: WorkerPool
    failures_in_a_row: int = 0
    _rest: trio.CancelScope | None = None

    async def run(self) -> None:
        pool, coordinator = self.pool, self.pool.coordinator
        user, site = pool.fetcher.client.user, pool.fetcher.query.site_url
        while self._stays():
            batch = coordinator.take_batch(self.name)
            if isinstance(batch, Backpressure):
                with self._resting():
                    await coordinator.backpressure_relieved()
                continue
            if not isinstance(batch, Batch):
                return
            grant = pool.fetcher.client.limiter.check_rate(user, site, len(batch.jobs), at_least=1)
            if isinstance(grant, Limited):
                coordinator.requeue_batch(batch.jobs)
                delay = await self._wait_in_line()
            else:
                with grant:
                    delay = await self._process(batch, grant)
            if delay and self._stays():
                with self._resting():
                    await trio.sleep(delay)

    # Leaving.

    @property
    def is_resting(self) -> bool:
        """Whether it has nothing in its hands and stays nevertheless."""
        return self._rest is not None and self.name not in self.pool.leaving

    def dismiss(self) -> None:
        """Leave, without resting any longer."""
        self.pool.leaving.add(self.name)
        if self._rest is not None:
            self._rest.cancel()

    def _stays(self) -> bool:
        if self.pool.surplus > 0:
            self.pool.leaving.add(self.name)
        return self.name not in self.pool.leaving

    @contextmanager
    def _resting(self) -> Iterator[None]:
        try:
            with trio.CancelScope() as self._rest:
                yield
        finally:
            self._rest = None

    # Working. Both return how many seconds to back off.

    async def _wait_in_line(self) -> float:
        """Fetch as soon as there are permits, whatever is first in the queue by then."""
        pool, coordinator = self.pool, self.pool.coordinator
        user, site = pool.fetcher.client.user, pool.fetcher.query.site_url
        grant = None
        with self._resting():
            grant = await pool.fetcher.client.limiter.acquire(
                user, site, pool.settings.batch_size, at_least=1
            )
        if grant is None:
            return 0.0
        with grant:
            if not self._stays():
                return 0.0
            batch = coordinator.take_batch(self.name, max_jobs=grant.count)
            return await self._process(batch, grant) if isinstance(batch, Batch) else 0.0

    async def _process(self, batch: Batch, grant: Grant) -> float:
        """Fetch what there are permits for."""
        pool, coordinator = self.pool, self.pool.coordinator
        started_at = trio.current_time()
        jobs = batch.jobs[: grant.count]
        try:
            coordinator.requeue_batch(batch.jobs[grant.count :])
            failures = await pool.fetcher.fetch(
                jobs, grant, coordinator.submit_results, admit=coordinator.admit
            )
        finally:
            # What is not answered by now goes back, also when cancelled or crashing.
            coordinator.requeue_batch(jobs)
        pool.instruments.handle(
            BatchFinished(
                worker=self.name,
                jobs=len(jobs),
                failed=len(failures),
                duration_seconds=trio.current_time() - started_at,
            )
        )
        waiting_bytes = coordinator.statistics().waiting_bytes
        pool.instruments.handle(MemoryMeasured(resident_bytes(), waiting_bytes))
        pool.retry_policy.note_pages(len(jobs) - len(failures), grant)
        if not failures:
            self.failures_in_a_row = 0
            return 0.0
        self.failures_in_a_row += 1
        verdict = pool.retry_policy.judge(failures, grant, self.failures_in_a_row)
        if isinstance(verdict, Halt):
            coordinator.halt(verdict)
            return 0.0
        return verdict
