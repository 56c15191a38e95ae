"""Shards as jobs in Procrastinate's tables: one job a shard, and what becomes of a dead worker's.

Procrastinate gives each worker a heartbeat, and its locks keep a shard from having two jobs that
wait, or two that run. A job whose worker has gone silent is replaced by a new one, not given back
under its old number: should the silent worker come back to its senses and report how its job went,
there is nothing left that it could report on.

None of this is what keeps two processes from writing: that is the fencing token, which a process
takes with the shard's lease and every commit checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import LiteralString

import procrastinate
import psycopg
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.schema import SchemaManager

from gsc_trio.errors import StorageError
from gsc_trio.store.postgres.address import Address
from gsc_trio.store.postgres.errors import as_storage_error
from gsc_trio.store.postgres.session import connect

QUEUE = "gsc-trio"
TASK = "gsc_trio.sync_shard"

_SCHEMA_LOCK = 0x6773635F7472696F
"""Held while tables are made, by whoever makes them first."""


class ShardJobs(JobManager):
    """Jobs whose end may come too late to be told."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """Report how a job went, unless it was replaced meanwhile."""
        try:
            await super().finish_job(job, status, delete_job)
        except ConnectorException:
            if await self.list_jobs_async(id=job.id):
                raise

    async def queue_again(self, shard: str) -> None:
        """Queue a shard whose job is about to end, if it is not queued already."""
        with suppress(AlreadyEnqueued):
            await self.defer_job_async(job_of(shard))

    async def put_back(self, job: Job) -> None:
        """Replace the job of a silent worker. Doing it twice leaves what doing it once leaves."""
        await self.queue_again(str(job.task_kwargs["shard"]))
        await self.finish_job(job, Status.FAILED, delete_job=True)


def job_of(shard: str) -> Job:
    """The job of a shard, as it is queued."""
    lock = f"{QUEUE}:{shard}"
    return Job(
        queue=QUEUE, task_name=TASK, lock=lock, queueing_lock=lock, task_kwargs={"shard": shard}
    )


def prepare(address: Address, *tables: LiteralString) -> None:
    """Make Procrastinate's tables, if they are not there, and others.

    Args:
        address: the database.
        tables: statements that make them and may be repeated.

    Raises:
        StorageError: the database cannot be reached, or may not be changed.
    """
    try:
        with connect(address, read_only=False) as connection, connection.transaction():
            # The other one of two that begin at once finds them made.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SCHEMA_LOCK])
            there = connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()
            if there == (None,):
                connection.execute(SchemaManager.get_schema())
            for table in tables:
                connection.execute(table)
    except psycopg.Error as error:
        raise as_storage_error(error, address, "open") from None


def enqueue(address: Address, shards: Iterable[str]) -> Mapping[str, str]:
    """Queue shards that are not queued and not being worked on.

    Returns:
        What became of each: ``queued``, ``queued before`` or ``running``.

    Raises:
        StorageError: the database cannot be used.
    """
    prepare(address)
    connector = procrastinate.SyncPsycopgConnector(
        conninfo=address.conninfo, min_size=1, max_size=1
    )
    outcomes = {}
    try:
        with procrastinate.App(connector=connector).open() as app:
            manager = app.job_manager
            doing = manager.list_jobs(task=TASK, status=Status.DOING.value)
            running = {job.task_kwargs["shard"] for job in doing}
            for shard in shards:
                outcomes[shard] = "running"
                if shard not in running:
                    try:
                        manager.defer_job(job_of(shard))
                        outcomes[shard] = "queued"
                    except AlreadyEnqueued:
                        outcomes[shard] = "queued before"
    except ConnectorException as error:
        raise queue_failed(error, address) from None
    return outcomes


async def take_over_stalled(manager: ShardJobs, silent_seconds: float) -> list[str]:
    """Put back the shards of workers without a heartbeat for so long.

    Returns:
        Their names.
    """
    stalled = list(
        await manager.get_stalled_jobs(
            queue=QUEUE, task_name=TASK, seconds_since_heartbeat=silent_seconds
        )
    )
    for job in stalled:
        await manager.put_back(job)
    return [str(job.task_kwargs["shard"]) for job in stalled]


def queue_failed(error: ConnectorException, address: Address) -> StorageError:
    """What Procrastinate says of the database, as we say it."""
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.ForeignKeyViolation):  # it has no line among workers
        return StorageError(
            "this worker gave no sign of life for so long that it was forgotten: start it again"
        )
    return as_storage_error(cause if isinstance(cause, Exception) else error, address, "open")
