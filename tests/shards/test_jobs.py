"""Jobs in Procrastinate's own tables, on a real Postgres."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import procrastinate
import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status

from gsc_trio.errors import StorageError
from gsc_trio.shards.board import Board, ShardProgress, look, prepare_board
from gsc_trio.shards.jobs import ShardJobs, enqueue, prepare, queue_failed, take_over_stalled
from gsc_trio.store.postgres.address import Address, read_address


@pytest.fixture
def address(postgres_address: str) -> Address:
    return read_address(postgres_address)


def jobs_in(address: Address) -> list[tuple[str, str]]:
    with psycopg.connect(address.conninfo) as connection:
        return connection.execute(
            "SELECT args ->> 'shard', status::text FROM procrastinate_jobs ORDER BY id"
        ).fetchall()


def test_tables_are_made_once_by_whoever_comes_first(address: Address) -> None:
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(prepare_board, [address] * 6))
    assert jobs_in(address) == []


def test_nothing_is_doubled_however_often_it_is_queued(address: Address) -> None:
    prepare(address)
    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(lambda _: enqueue(address, ["north", "south"]), range(6)))
    for shard in ("north", "south"):
        said = sorted(outcome[shard] for outcome in outcomes)
        assert said == ["queued"] + ["queued before"] * 5
    assert sorted(jobs_in(address)) == [("north", "todo"), ("south", "todo")]


def test_a_database_that_cannot_be_reached_is_told_in_a_line() -> None:
    address = read_address("postgresql://me:secret@127.0.0.1:1/gsc")
    with pytest.raises(
        StorageError, match=r"cannot open postgresql://me@127.0.0.1:1/gsc: "
    ) as told:
        enqueue(address, ["north"])
    assert "secret" not in str(told.value)


async def forgotten(address: Address) -> None:
    """A worker whose line is gone wants a job."""
    connector = procrastinate.PsycopgConnector(conninfo=address.conninfo, min_size=1, max_size=1)
    async with procrastinate.App(connector=connector).open_async():
        await ShardJobs(connector).fetch_job(["gsc-trio"], worker_id=4_711)


def test_a_worker_that_was_forgotten_is_told_so(address: Address) -> None:
    enqueue(address, ["north"])
    with pytest.raises(ConnectorException) as caught:
        asyncio.run(forgotten(address))
    assert "start it again" in str(queue_failed(caught.value, address))
    assert jobs_in(address) == [("north", "todo")]


async def replaced(address: Address, *, twice: bool) -> None:
    """A worker fetches a job and goes silent; its job is replaced; then it reports."""
    connector = procrastinate.PsycopgConnector(conninfo=address.conninfo, min_size=1, max_size=2)
    app = procrastinate.App(connector=connector)
    async with app.open_async():
        manager = ShardJobs(connector)
        worker = await manager.register_worker()
        job = await manager.fetch_job(["gsc-trio"], worker)
        assert isinstance(job, Job)
        assert await take_over_stalled(manager, silent_seconds=60) == []
        await asyncio.sleep(0.01)  # until its sign of life is older than this
        assert await take_over_stalled(manager, silent_seconds=0.005) == ["north"]
        if twice:
            await manager.put_back(job)
        assert jobs_in(address) == [("north", "todo")]
        await manager.finish_job(job, Status.SUCCEEDED, delete_job=True)
        assert jobs_in(address) == [("north", "todo")]


@pytest.mark.parametrize("twice", [False, True])
def test_the_job_of_a_silent_worker_is_replaced_and_its_report_is_passed_over(
    address: Address, twice: bool
) -> None:
    enqueue(address, ["north"])
    asyncio.run(replaced(address, twice=twice))


def test_an_earlier_holder_never_writes_over_the_line_of_a_later_one(address: Address) -> None:
    prepare_board(address)
    earlier, later = (Board(address, "north", token, f"worker {token}") for token in (1, 2))
    earlier.tell(ShardProgress(targets=3, days=1))
    later.tell(ShardProgress(targets=3))
    [line] = look(address, silent_seconds=30)
    since = line.since
    earlier.tell(ShardProgress(targets=3, days=9), "complete")
    later.tell(ShardProgress(targets=3, targets_done=3, days=4, rows=5, queries=6), "complete")
    [line] = look(address, silent_seconds=30)
    assert (line.worker, line.token, line.status, line.days) == ("worker 2", 2, "complete", 4)
    assert line.since == since
    enqueue(address, ["north", "west"])
    assert [(each.shard, each.status, each.token) for each in look(address, 30)] == [
        ("north", "queued", 2),
        ("west", "queued", None),
    ]
