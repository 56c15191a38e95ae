"""Who does what: a table with a line for each shard, about its latest run.

It is for people. Nothing is decided by it, so it may be some seconds old; but an earlier holder
never writes over the line of a later one: the fencing token says which is which.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs
import psycopg
from psycopg.rows import class_row

from gsc_trio.shards.jobs import QUEUE, TASK, prepare
from gsc_trio.store.postgres.address import Address
from gsc_trio.store.postgres.errors import as_storage_error
from gsc_trio.store.postgres.session import connect

_TABLE = """
CREATE TABLE IF NOT EXISTS shard_run (
    shard text PRIMARY KEY,
    token bigint NOT NULL,
    worker text NOT NULL,
    status text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    told timestamptz NOT NULL DEFAULT now(),
    targets integer NOT NULL,
    targets_done integer NOT NULL DEFAULT 0,
    days bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    queries bigint NOT NULL DEFAULT 0
)
"""

_TELL = """
INSERT INTO shard_run
    (shard, token, worker, status, reason, targets, targets_done, days, rows, queries)
VALUES (%(shard)s, %(token)s, %(worker)s, %(status)s, %(reason)s, %(targets)s,
    %(targets_done)s, %(days)s, %(rows)s, %(queries)s)
ON CONFLICT (shard) DO UPDATE SET
    since = CASE WHEN shard_run.token = excluded.token THEN shard_run.since ELSE now() END,
    told = now(), token = excluded.token, worker = excluded.worker, status = excluded.status,
    reason = excluded.reason, targets = excluded.targets,
    targets_done = excluded.targets_done, days = excluded.days, rows = excluded.rows,
    queries = excluded.queries
WHERE shard_run.token <= excluded.token
"""

_LOOK = """
WITH job AS (
    SELECT args ->> 'shard' AS shard,
        bool_or(status = 'todo') AS is_queued,
        bool_or(status = 'doing') AS is_running,
        bool_or(status = 'doing' AND (worker.id IS NULL OR worker.last_heartbeat
            < now() - make_interval(secs => %(silent_seconds)s))) AS is_silent
    FROM procrastinate_jobs LEFT JOIN procrastinate_workers AS worker ON worker.id = worker_id
    WHERE task_name = %(task)s AND queue_name = %(queue)s AND status IN ('todo', 'doing')
    GROUP BY 1
)
SELECT shard, token, coalesce(worker, '') AS worker,
    CASE WHEN is_silent THEN 'silent' WHEN is_running THEN 'running' WHEN is_queued THEN 'queued'
        WHEN status = 'running' THEN 'lost' ELSE status END AS status,
    coalesce(reason, '') AS reason, since, told, coalesce(targets, 0) AS targets,
    coalesce(targets_done, 0) AS targets_done, coalesce(days, 0) AS days,
    coalesce(rows, 0) AS rows, coalesce(queries, 0) AS queries
FROM shard_run FULL JOIN job USING (shard) ORDER BY shard
"""

RUNNING = "running"


@attrs.frozen
class ShardLine:
    """What is told of a shard."""

    shard: str
    token: int | None
    """Of its latest lease; each take-over has a higher one. None if it never had one."""
    worker: str
    """Who has the shard, or had it last."""
    status: str
    """``queued``, ``running``, ``silent`` (to be taken over), or how its latest run ended:
    ``complete``, ``failed``, ``interrupted``, ``taken over``, or ``lost`` if nobody told."""
    reason: str
    since: dt.datetime | None
    """When the latest run began."""
    told: dt.datetime | None
    """When it was last heard of."""
    targets: int
    """Combinations of a property, a search type and dimensions that it has."""
    targets_done: int
    """Those among them that the run has brought up to date, and at its end all that are."""
    days: int
    """Days that the latest run completed."""
    rows: int
    queries: int


@attrs.frozen
class ShardProgress:
    """How far a run is."""

    targets: int
    targets_done: int = 0
    days: int = 0
    rows: int = 0
    queries: int = 0


@attrs.frozen
class Board:
    """The line of one run; its methods block.

    Args:
        address: the database.
        shard: whose line.
        token: of the run's lease.
        worker: who works on it.
    """

    address: Address
    shard: str
    token: int
    worker: str

    def tell(self, progress: ShardProgress, status: str = RUNNING, reason: str = "") -> None:
        """Write down how it is going.

        Raises:
            StorageError: it could not be written.
        """
        line = {
            "shard": self.shard,
            "token": self.token,
            "worker": self.worker,
            "status": status,
            "reason": reason,
            **attrs.asdict(progress),
        }
        try:
            with connect(self.address, read_only=False) as connection:
                connection.execute(_TELL, line)
        except psycopg.Error as error:
            raise as_storage_error(error, self.address, "write") from None


def prepare_board(address: Address) -> None:
    """Make the tables that are not there, Procrastinate's and this one.

    Raises:
        StorageError: the database cannot be reached, or may not be changed.
    """
    prepare(address, _TABLE)


def look(address: Address, silent_seconds: float) -> Sequence[ShardLine]:
    """A line for each shard that was ever queued, by name.

    Args:
        address: the database.
        silent_seconds: without a sign of life for so long, a worker counts as silent.

    Raises:
        StorageError: the database cannot be read.
    """
    parameters = {"task": TASK, "queue": QUEUE, "silent_seconds": silent_seconds}
    try:
        with (
            connect(address, read_only=True) as connection,
            connection.cursor(row_factory=class_row(ShardLine)) as cursor,
        ):
            return cursor.execute(_LOOK, parameters).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.Error as error:
        raise as_storage_error(error, address, "read") from None
