"""The workers: take, ask the rate limiter, fetch, submit; again until there is no more work.

A worker owns nothing but the batch in its hands. When it must wait for permits, that batch goes
back to the front of the queue first, so that jobs never wait in a sleeping worker. When it fails,
only the parts that failed go back. When it crashes, its batch is queued again, the crash is told,
and a fresh worker takes its place, until there were too many crashes.
"""

from __future__ import annotations

import logging

import attrs
import trio

from gsc_trio.batch import Backpressure, Batch
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
    """``max_concurrency`` workers on one coordinator.

    Args:
        coordinator: where jobs come from and pages go to.
        fetcher: what asks Google.
        retry_policy: what is done about failures.
        settings: how many workers, how large batches, how many crashes.
        instruments: who is told what happens.
    """

    coordinator: Coordinator
    fetcher: Fetcher
    retry_policy: RetryPolicy
    settings: Settings
    instruments: Instruments
    _crashes: int = attrs.field(default=0, init=False)

    async def run(self) -> None:
        """Work until the plan is done or the run is halted."""
        with self.coordinator.worker_scope:
            async with trio.open_nursery() as nursery:
                for number in range(1, self.settings.max_concurrency + 1):
                    nursery.start_soon(self._supervise, f"worker-{number}")

    async def _supervise(self, name: str) -> None:
        self.instruments.handle(WorkerStarted(name))
        try:
            await self._restart_after_crashes(name)
        finally:
            self.instruments.handle(WorkerEnded(name))

    async def _restart_after_crashes(self, name: str) -> None:
        while True:
            worker = _Worker(name, self)
            try:
                await worker.run()
            except StorageError as error:
                self.coordinator.halt(Halt(str(error), status="failed", error=error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not take others along
                self._note_crash(name, error)
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

    async def run(self) -> None:
        pool, coordinator = self.pool, self.pool.coordinator
        limiter = pool.fetcher.client.limiter
        user, site = pool.fetcher.client.user, pool.fetcher.query.site_url
        while True:
            batch = coordinator.take_batch(self.name)
            if isinstance(batch, Backpressure):
                await coordinator.backpressure_relieved()
                continue
            if not isinstance(batch, Batch):
                return
            grant = limiter.check_rate(user, site, len(batch.jobs), at_least=1)
            if isinstance(grant, Limited):
                coordinator.requeue_batch(batch.jobs)
                with await limiter.acquire(
                    user, site, pool.settings.batch_size, at_least=1
                ) as grant:
                    # The queue may have moved on meanwhile: whatever is first now is fetched.
                    batch = coordinator.take_batch(self.name, max_jobs=grant.count)
                    delay = await self._process(batch, grant) if isinstance(batch, Batch) else 0.0
            else:
                with grant:
                    delay = await self._process(batch, grant)
            if delay:
                await trio.sleep(delay)

    async def _process(self, batch: Batch, grant: Grant) -> float:
        """Fetch what there are permits for.

        Returns:
            How many seconds to back off.
        """
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
