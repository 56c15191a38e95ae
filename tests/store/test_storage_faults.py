"""The disk is full, reports errors, is locked: one clear line, nothing harmed, and on it goes."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import GscTrioError, StorageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.dump import comparable_dump, dump_connection
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store
from gsc_trio.summary import RunSummary
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty, open_streaming_transport
from tests.store.recording_vfs import (
    SQLITE_CANTOPEN,
    SQLITE_FULL,
    SQLITE_IOERR_FSYNC,
    SQLITE_IOERR_TRUNCATE,
    SQLITE_IOERR_WRITE,
    SQLITE_OK,
    SQLITE_READONLY,
    Operation,
    RecordingVfs,
    find_library,
    installed_vfs,
)
from tests.store.test_crash_points import CALLS

needs_a_shim = pytest.mark.skipif(
    find_library() is None, reason="sqlite3 is linked statically: there is nothing to hook into"
)

FAULTS = {
    "full": ("write", SQLITE_FULL, "the disk is full: free some space"),
    "write": ("write", SQLITE_IOERR_WRITE, "the disk reports an error"),
    "sync": ("sync", SQLITE_IOERR_FSYNC, "the disk reports an error"),
    "truncate": ("truncate", SQLITE_IOERR_TRUNCATE, "the disk reports an error"),
    "read-only": ("write", SQLITE_READONLY, "it can only be read"),
    "create": ("create", SQLITE_CANTOPEN, "cannot be opened"),
}

SITE = "sc-domain:example.com"
END = dt.date(2026, 6, 17)
RUN_QUERY = SearchAnalyticsQuery(SITE, row_limit=20)


@attrs.define(eq=False)
class Fault:
    """Fails the operation with a number, and those after it as long as it lasts."""

    kind: str
    code: int
    number: int
    lasts: int = 1
    seen: int = 0
    struck: int = 0

    def __call__(self, operation: Operation) -> int:
        if operation.kind != self.kind:
            return SQLITE_OK
        self.seen += 1
        if not self.number <= self.seen - 1 < self.number + self.lasts:
            return SQLITE_OK
        self.struck += 1
        return self.code


@pytest.fixture
def vfs() -> Iterator[RecordingVfs]:
    with installed_vfs() as installed:
        yield installed


def assert_clear(error: Exception, path: Path, advice: str = "") -> None:
    """One line that names the file and says what to do."""
    assert str(path) in str(error)
    assert advice in str(error)
    assert "\n" not in str(error)


def dump(store: SqliteStore) -> str:
    return "\n".join(dump_connection(store._connection))


async def reference(path: Path) -> list[str]:
    """The content after each number of calls, without faults."""
    async with open_sqlite_store(path) as store:
        dumps = [dump(store)]
        for call in CALLS:
            await call(store)
            dumps.append(dump(store))
    return dumps


@needs_a_shim
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_at_any_operation_of_a_transaction_harms_nothing_and_it_can_be_done_again(
    tmp_path: Path, vfs: RecordingVfs, name: str
) -> None:
    kind, code, advice = FAULTS[name]
    dumps = await reference(tmp_path / "reference.db")
    path = tmp_path / "search.db"
    async with open_sqlite_store(path) as store:
        store._connection.execute("PRAGMA wal_autocheckpoint = 12")
        failed = 0
        for done, call in enumerate(CALLS):
            number, is_done = 0, False
            while not is_done:
                fault = vfs.fail = Fault(kind, code, number)
                try:
                    await call(store)
                    is_done = True
                except StorageError as error:
                    failed += 1
                    assert_clear(error, path, advice)
                    assert dump(store) == dumps[done]
                if not fault.struck:
                    break  # it has no operation with that number: it went through without a fault
                number += 1
            vfs.fail = lambda _: SQLITE_OK
            assert dump(store) == dumps[done + 1]
    assert failed or kind in {"truncate", "create"}
    assert comparable_dump(path) == dumps[-1] + "\n"


@needs_a_shim
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_while_a_database_is_made_leaves_a_place_where_it_can_be_made(
    tmp_path: Path, vfs: RecordingVfs, name: str
) -> None:
    kind, code, _ = FAULTS[name]
    dumps = await reference(tmp_path / "reference.db")
    refused = 0
    for number in range(200):
        path = tmp_path / f"{number}.db"
        fault = vfs.fail = Fault(kind, code, number)
        try:
            async with open_sqlite_store(path):
                pass
        except GscTrioError as error:
            refused += 1
            assert_clear(error, path)
        vfs.fail = lambda _: SQLITE_OK
        async with open_sqlite_store(path) as store:
            assert dump(store) == dumps[0]
        if not fault.struck:
            break
    assert refused or kind == "truncate"
    assert not fault.struck


async def run(
    store: SqliteStore,
    fake: FakeSearchConsole,
    max_concurrency: int,
    *,
    pages_share_transactions: bool = False,
) -> RunSummary:
    settings = Settings(max_concurrency=max_concurrency, batch_size=4)
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(settings, transport=transport) as client,
    ):
        return await backfill(
            client,
            RUN_QUERY,
            store,
            start=END - dt.timedelta(days=11),
            end=END,
            today=dt.date(2026, 6, 20),
            # Who has a callback gets each page after its own commit.
            on_page=None if pages_share_transactions else lambda _: None,
        )


def fake_search_console() -> FakeSearchConsole:
    rows_by_day = {END - dt.timedelta(days=number): 45 for number in (1, 4)}
    return FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=7, rows_by_day=rows_by_day)])


async def assert_goes_on(
    path: Path, failed: RunSummary, max_concurrency: int, *, is_moved: bool = False
) -> None:
    """The next run asks for what is missing, and the database is as if nothing had been."""
    fake = fake_search_console()
    async with open_sqlite_store(path) as store:
        summary = await run(store, fake, max_concurrency)
    assert summary.status == "complete"
    # A page that was committed into a file that nobody can find counts as not written.
    assert failed.pages + summary.pages in {12 + 4, 12 + 4 - is_moved}
    assert summary.requests == summary.pages
    undisturbed = path.with_name("undisturbed.db")
    async with open_sqlite_store(undisturbed) as store:
        await run(store, fake_search_console(), 1)
    assert comparable_dump(path) == comparable_dump(undisturbed)


@needs_a_shim
@pytest.mark.parametrize(
    ("number", "pages_share_transactions"),
    [(0, False), (7, False), (24, False), (48, False), (7, True), (14, True)],
)
@pytest.mark.parametrize("name", ["full", "write", "sync", "read-only"])
@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_halts_with_one_line_and_resumes_when_the_cause_is_gone(
    tmp_path: Path,
    vfs: RecordingVfs,
    max_concurrency: int,
    name: str,
    number: int,
    pages_share_transactions: bool,
) -> None:
    kind, code, advice = FAULTS[name]
    path = tmp_path / "search.db"
    async with open_sqlite_store(path) as store:
        await store.begin_run(RUN_QUERY, END, END)
        vfs.fail = Fault(kind, code, number // (3 if kind == "sync" else 1), lasts=10_000)
        try:
            failed = await run(
                store,
                fake_search_console(),
                max_concurrency,
                pages_share_transactions=pages_share_transactions,
            )
        except StorageError as error:  # it could not even begin
            assert_clear(error, path, advice)
            assert number == 0
            return
        vfs.fail = lambda _: SQLITE_OK
    assert failed.status == "failed"
    assert failed.reason.startswith(f"cannot write {path}: {advice}")
    assert "\n" not in failed.reason
    assert failed.pages < 16
    await assert_goes_on(path, failed, max_concurrency)


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_into_a_locked_database_halts_and_resumes_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_concurrency: int
) -> None:
    monkeypatch.setattr("gsc_trio.store.connection.BUSY_TIMEOUT_SECONDS", 0.05)
    path = tmp_path / "search.db"
    async with open_sqlite_store(path) as store:
        locker = sqlite3.connect(path, isolation_level=None)
        lock_after(store, 5, locker)
        failed = await run(store, fake_search_console(), max_concurrency)
        locker.close()
    assert failed.status == "failed"
    assert failed.reason == (
        f"cannot write {path}: another program keeps it locked: let that finish and run it again "
        "(database is locked)"
    )
    assert failed.pages > 0
    await assert_goes_on(path, failed, max_concurrency)


def lock_after(store: SqliteStore, pages: int, locker: sqlite3.Connection) -> None:
    """Another program locks the database when so many pages were written, and keeps it."""
    write_pages, written = store.write_pages, 0

    async def write_and_lock(*arguments: Any) -> None:
        nonlocal written
        if written == pages:
            locker.execute("BEGIN EXCLUSIVE")
        written += 1
        await write_pages(*arguments)

    store.write_pages = write_and_lock  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_a_run_whose_database_is_removed_halts_and_what_is_put_back_goes_on(
    tmp_path: Path, max_concurrency: int
) -> None:
    path, away = tmp_path / "search.db", tmp_path / "away"
    away.mkdir()
    async with open_sqlite_store(path) as store:
        in_nth_write(store, 5, lambda: move(path, away))
        failed = await run(store, fake_search_console(), max_concurrency)
        assert failed.status == "failed"
        assert failed.reason.startswith(f"{path} was removed or replaced while it was in use")
        move(away / path.name, tmp_path)
    await assert_goes_on(path, failed, max_concurrency, is_moved=True)


def move(path: Path, folder: Path) -> None:
    """Move a database with all that lies beside it."""
    for each in path.parent.glob(f"{path.name}*"):
        each.rename(folder / each.name)


def in_nth_write(store: SqliteStore, number: int, act: Callable[[], None]) -> None:
    write_pages, written = store.write_pages, 0

    async def act_and_write(*arguments: Any) -> None:
        nonlocal written
        written += 1
        if written == number:
            await trio.to_thread.run_sync(act)
        await write_pages(*arguments)

    store.write_pages = act_and_write  # type: ignore[method-assign, assignment]
