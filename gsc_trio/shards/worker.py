"""A worker process: it takes shards from the queue and works on some of them at once.

Procrastinate's worker lives on asyncio and this library on trio. So each shard has a thread with a
trio run of its own, and the asyncio side only waits for it. A thread, not a process: whatever kills
or stops the process then kills or stops the heartbeat and the work together, and no orphan goes on
asking. Who wants to use more cores, or to let one crash take less along, starts more workers.

How it ends: the first signal halts the shards, which write what was answered within the grace time
and go back to the queue; the second ends them without writing. A worker that loses the database
halts likewise and fails, to be started again by whatever supervises it.
"""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import attrs
import procrastinate
import trio
from procrastinate.exceptions import ConnectorException

from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt
from gsc_trio.shards.board import prepare_board
from gsc_trio.shards.jobs import (
    QUEUE,
    TASK,
    ShardJobs,
    queue_failed,
    take_over_stalled,
)
from gsc_trio.store.postgres.address import Address

POLL_SECONDS = 5.0
"""How often a worker looks for jobs that nobody told it of: those that were put back."""

POOL_SECONDS = 10.0
"""How long a worker waits for a connection to the database before it counts as lost."""

STORAGE_PAUSE_SECONDS = 15
"""How long a shard waits whose database failed."""

_ALREADY_LATE = 10


@attrs.frozen
class ShardOutcome:
    """How it went with a shard."""

    status: str
    """``complete``, ``failed``, ``interrupted``, ``taken over`` or ``no database``."""
    text: str
    """A line for whoever watches."""


RunShard = Callable[[str, HaltSwitch], Awaitable[ShardOutcome]]
"""Works on a shard, in a trio run of its own."""


@attrs.frozen
class WorkerOptions:
    """How a worker works."""

    address: Address
    """The database."""
    name: str
    shards_at_once: int
    silent_seconds: float
    """How long a worker may be silent before its shards are taken over."""
    until_idle: bool = False
    """Whether to end when nothing is queued."""

    @property
    def heartbeat_seconds(self) -> float:
        """How often it gives a sign of life, and looks for workers that give none."""
        return self.silent_seconds / 3


def work(options: WorkerOptions, run_shard: RunShard, tell: Callable[[str], None]) -> bool:
    """Work until a signal comes, or until nothing is queued.

    Args:
        options: how.
        run_shard: what to do with a shard.
        tell: says to whoever watches what happens; from several threads.

    Returns:
        Whether it ended because it was to end.

    Raises:
        StorageError: the database cannot be used.
    """
    prepare_board(options.address)
    try:
        return asyncio.run(_Worker(options, run_shard, tell).work())
    except ConnectorException as error:
        raise queue_failed(error, options.address) from None


@attrs.define(eq=False)
class _ShardRun:
    """A shard's trio run, seen from the asyncio side."""

    main: Callable[[HaltSwitch], Awaitable[ShardOutcome]]
    _switch: HaltSwitch | None = None
    _token: trio.lowlevel.TrioToken | None = None
    _pending: list[Callable[[HaltSwitch], None]] = attrs.field(factory=list)

    def run(self) -> ShardOutcome:
        """Work; called in a thread."""
        return trio.run(self._main)

    async def _main(self) -> ShardOutcome:
        switch = self._switch = HaltSwitch()
        self._token = trio.lowlevel.current_trio_token()
        for order in self._pending:
            order(switch)
        return await self.main(switch)

    def give(self, order: Callable[[HaltSwitch], None]) -> None:
        """Let it stop, in another thread than its own."""
        # Either the run finds the order when it begins, or it has begun and can be told.
        self._pending.append(order)
        if self._token is not None and self._switch is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(order, self._switch)


@attrs.define(eq=False)
class _Worker:
    options: WorkerOptions
    run_shard: RunShard
    tell: Callable[[str], None]
    _runs: list[_ShardRun] = attrs.field(factory=list, init=False)
    _signals: int = attrs.field(default=0, init=False)
    _has_failed: bool = attrs.field(default=False, init=False)
    """Whether a shard was given up since the database failed."""
    _threads: ThreadPoolExecutor = attrs.field(init=False)
    _jobs: ShardJobs = attrs.field(init=False)

    async def work(self) -> bool:
        options = self.options
        connector = procrastinate.PsycopgConnector(
            conninfo=options.address.conninfo,
            min_size=1,
            max_size=options.shards_at_once + 3,
            timeout=POOL_SECONDS,
        )
        app = procrastinate.App(connector=connector)
        app.job_manager = self._jobs = ShardJobs(connector)
        app.task(name=TASK, queue=QUEUE)(self._sync_shard)
        with ThreadPoolExecutor(options.shards_at_once) as self._threads:
            async with app.open_async():
                working = asyncio.create_task(
                    app.run_worker_async(
                        queues=[QUEUE],
                        name=options.name,
                        concurrency=options.shards_at_once,
                        wait=not options.until_idle,
                        fetch_job_polling_interval=min(POLL_SECONDS, options.heartbeat_seconds),
                        # A worker that ends for another reason than a signal cancels its jobs.
                        shutdown_graceful_timeout=math.inf if options.until_idle else 0.0,
                        delete_jobs="always",
                        install_signal_handlers=False,
                        update_heartbeat_interval=options.heartbeat_seconds,
                        # A silent worker that is forgotten could not go on when it wakes up.
                        stalled_worker_timeout=options.silent_seconds * _ALREADY_LATE,
                    )
                )
                watching = asyncio.create_task(self._watch())
                self._heed_signals(working, watching)
                try:
                    await working
                except asyncio.CancelledError:
                    if not self._signals:
                        raise
                finally:
                    watching.cancel()
        return self._signals > 0 or (options.until_idle and not self._has_failed)

    async def _watch(self) -> None:
        """Look for silent workers, as long as this one works."""
        while True:
            try:
                for shard in await take_over_stalled(self._jobs, self.options.silent_seconds):
                    self.tell(f"shard {shard}: its worker is silent; it goes back to the queue")
            except ConnectorException:
                # The next heartbeat meets the same, and ends the worker.
                self.tell("silent workers cannot be looked for: the database does not answer")
            await asyncio.sleep(self.options.heartbeat_seconds)

    def _heed_signals(self, *tasks: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()

        def heed(name: str) -> None:
            self._signals += 1
            if self._signals == 1:
                self.tell(
                    f"{name}: stopping; what was answered is being written, and shards go back to "
                    "the queue. Once more stops at once."
                )
                halt = Halt(f"interrupted by {name}", status="interrupted")
                self._give(lambda switch: switch.request(halt))
                for task in tasks:
                    task.cancel()
            else:
                self._give(HaltSwitch.hurry)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, partial(heed, number.name))

    def _give(self, order: Callable[[HaltSwitch], None]) -> None:
        for run in self._runs:
            run.give(order)

    async def _sync_shard(self, *, shard: str) -> None:
        """The task: one shard, from the lease to the last commit."""
        run = _ShardRun(partial(self.run_shard, shard))
        self._runs.append(run)
        working = asyncio.wrap_future(self._threads.submit(run.run))
        try:
            outcome = await _uncancelled(working, run)
        finally:
            self._runs.remove(run)
        self.tell(f"shard {shard}: {outcome.text}")
        if outcome.status == "no database":
            self._has_failed = True
            await self._pause()
        if outcome.status in ("interrupted", "no database"):
            await self._jobs.queue_again(shard)

    async def _pause(self) -> None:
        """Wait, so that a database that is full or slow is not asked again at once."""
        if not self._signals:
            with suppress(asyncio.CancelledError):  # it goes back to the queue all the same
                await asyncio.sleep(STORAGE_PAUSE_SECONDS)


async def _uncancelled(working: asyncio.Future[ShardOutcome], run: _ShardRun) -> ShardOutcome:
    """Wait for a shard; when cancelled, halt it and wait all the same."""
    halt = Halt("the worker stops", status="interrupted")
    while True:
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            run.give(lambda switch: switch.request(halt))
