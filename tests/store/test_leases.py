"""Whoever takes a shard over is the only one who writes it from then on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from gsc_trio.errors import FencedError, StorageError
from gsc_trio.machine_clock import machine_moment
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.base import GrantKey, RecordedGrant
from gsc_trio.store.postgres import ledger
from gsc_trio.store.postgres.leases import Fence, read_leases, take_lease
from gsc_trio.store.postgres.store import PostgresStore, open_postgres_store
from tests.postgres_server import PostgresServer
from tests.store.databases import content, reading

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()
GRANT = RecordedGrant(GrantKey("limiter", 1), "user", "https://example.com/", 50, machine_moment())


async def test_each_lease_has_a_token_of_its_own(postgres_address: str) -> None:
    assert await take_lease(postgres_address, "user-1", "worker a") == Fence("user-1", 1)
    assert await take_lease(postgres_address, "user-2", "worker a") == Fence("user-2", 1)
    assert await take_lease(postgres_address, "user-1", "worker b") == Fence("user-1", 2)
    assert [
        (lease.shard, lease.token, lease.holder) for lease in await read_leases(postgres_address)
    ] == [("user-1", 2, "worker b"), ("user-2", 1, "worker a")]


async def test_many_who_take_a_lease_at_once_get_different_tokens(postgres_address: str) -> None:
    tokens = []

    async def take(holder: str) -> None:
        tokens.append((await take_lease(postgres_address, "user-1", holder)).token)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(take, f"worker {number}")
    assert sorted(tokens) == list(range(1, 9))


async def test_a_lease_makes_the_tables_that_are_not_there(postgres_server: PostgresServer) -> None:
    address = postgres_server.empty_database()
    assert await take_lease(address, "user-1", "worker a") == Fence("user-1", 1)
    postgres_server.drop_database(address)


async def test_nothing_is_written_by_whoever_was_taken_over(
    postgres_address: str, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    old = await take_lease(postgres_address, "user-1", "worker a")
    page = make_page(1, rows=["a"])
    async with open_postgres_store(postgres_address, fence=old) as store:
        await store.write_pages(query, [page], NO_CHANGES)
        with reading(store) as reader:
            new = await take_lease(postgres_address, "user-1", "worker b")
            before = content(reader)
            writes: list[Callable[[PostgresStore], Awaitable[object]]] = [
                lambda store: store.write_pages(query, [make_page(2, rows=["b"])], NO_CHANGES),
                lambda store: store.record_in_flight(
                    query, InFlightChanges(taken=((page.job, "w"),))
                ),
                lambda store: store.begin_run(query, page.job.data_date, page.job.data_date),
                lambda store: store.record_grants([GRANT], forget=()),
            ]
            for write in writes:
                with pytest.raises(
                    FencedError, match=r"shard 'user-1' was taken over by worker b at 20.* UTC"
                ):
                    await write(store)
            assert content(reader) == before
            assert await store.recent_grants() == []
    async with open_postgres_store(postgres_address, fence=new) as store:
        await store.write_pages(query, [make_page(2, rows=["b"])], NO_CHANGES)
        assert [day.rows for day in await store.coverage()] == [2]


async def test_whoever_is_taken_over_in_mid_transaction_writes_nothing_of_it(
    postgres_address: str,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fence = await take_lease(postgres_address, "user-1", "worker a")
    real = ledger.record_page
    calls = 0

    def take_over(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        trio.run(take_lease, postgres_address, "user-1", "worker b")
        real(*arguments)

    monkeypatch.setattr(ledger, "record_page", take_over)
    async with open_postgres_store(postgres_address, fence=fence) as store:
        with pytest.raises(FencedError, match="was taken over by worker b"):
            await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
        assert await store.coverage() == []
    assert calls == 1


async def test_a_lease_that_was_removed_is_no_lease(
    postgres_address: str, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_postgres_store(postgres_address, fence=Fence("user-1", 1)) as store:
        with pytest.raises(FencedError, match="the lease of shard 'user-1' was removed"):
            await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)


async def test_two_who_hold_different_shards_write_at_once(
    postgres_address: str, make_page: MakePage
) -> None:
    async def write(shard: str) -> None:
        fence = await take_lease(postgres_address, shard, "worker")
        query = SearchAnalyticsQuery(f"sc-domain:{shard}.example", dimensions=("query",))
        async with open_postgres_store(postgres_address, fence=fence) as store:
            for day in range(1, 15):
                await store.write_pages(query, [make_page(day, rows=[shard])], NO_CHANGES)

    async with trio.open_nursery() as nursery:
        for shard in ("a", "b", "c"):
            nursery.start_soon(write, shard)
    async with open_postgres_store(postgres_address, read_only=True) as store:
        assert [coverage.days_complete for coverage in await store.coverage()] == [14, 14, 14]


PAUSED = """if True:
    import os, signal, sys, trio
    from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
    from gsc_trio.store.postgres import store as module
    from gsc_trio.store.postgres.leases import take_lease
    import datetime as dt

    real = module.ledger.record_page
    def stop(*arguments):
        os.kill(os.getpid(), signal.SIGSTOP)
        real(*arguments)
    module.ledger.record_page = stop

    async def main():
        query = SearchAnalyticsQuery("sc-domain:example.com", dimensions=("query",))
        fence = await take_lease(sys.argv[1], "user-1", "worker a")
        async with module.open_postgres_store(sys.argv[1], fence=fence) as store:
            page = Page(Job(dt.date(2024, 1, 1)), [Row(("old",))], 10, 1)
            await store.write_pages(query, [page], InFlightChanges())

    trio.run(main, strict_exception_groups=False)
"""


def started(program: str, address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, address], stderr=subprocess.PIPE)


async def test_a_process_that_is_stopped_in_mid_transaction_holds_nobody_up(
    postgres_address: str, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    process = started(PAUSED, postgres_address)
    try:
        await trio.to_thread.run_sync(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        fence = await take_lease(postgres_address, "user-1", "worker b")
        async with open_postgres_store(postgres_address, fence=fence) as store:
            await store.write_pages(query, [make_page(1, rows=["new"])], NO_CHANGES)
            process.send_signal(signal.SIGCONT)
            _, errors = await trio.to_thread.run_sync(process.communicate)
            with reading(store) as reader:
                [table] = [
                    rows for name, rows in content(reader).items() if name.startswith("search")
                ]
    finally:
        process.kill()
        process.wait()
    assert [row[3] for row in table] == ["new"]
    assert re.search(rb"FencedError: shard 'user-1' was taken over by worker b", errors)


def test_being_taken_over_is_a_storage_error() -> None:
    assert issubclass(FencedError, StorageError)
