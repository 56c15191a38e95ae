"""Death at every single write and sync of the store, clean, torn, and with the power gone.

A session is recorded once. For each of its operations the files are then put together as they
would lie on the disk if the process, or the machine, had died there; and the store is opened.
"""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path

import attrs
import pytest
import trio

from gsc_trio.errors import GscTrioError
from gsc_trio.machine_clock import Moment
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.base import GrantKey, RecordedGrant
from gsc_trio.store.connection import open_connection
from gsc_trio.store.dump import dump_connection
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store
from tests.store.recording_vfs import Operation, find_library, installed_vfs

pytestmark = pytest.mark.skipif(
    find_library() is None,
    reason="sqlite3 is linked statically here: there is nothing to hook into",
)

NAME = "search.db"
QUERY = SearchAnalyticsQuery("sc-domain:example.com", dimensions=("query",), row_limit=40)
SECTOR_BYTES = 512
POWER_LOSSES = 3
"""How many ways to lose what was not synced are tried at each operation."""

Call = Callable[[SqliteStore], Awaitable[object]]
Files = dict[str, bytearray]


def day(number: int) -> dt.date:
    return dt.date(2026, 3, number)


def page(number: int, start_row: int, rows: int, *, version: str = "") -> Page:
    """A page whose rows are scattered over the whole table."""
    text = [f"{(start_row + n) * 37 % 101:03} {version}{'words ' * 20}" for n in range(rows)]
    content = [Row((each,), 1.0, float(start_row + 1), 2.0) for each in text]
    return Page(Job(day(number), start_row), content, QUERY.row_limit, content_bytes=100)


def write(*pages: Page, taken: Sequence[Job] = ()) -> list[Call]:
    changes = InFlightChanges(taken=tuple((job, "worker-1") for job in taken))
    return [
        partial(SqliteStore.write_pages, query=QUERY, pages=[each], changes=changes)
        for each in pages
    ]


def grant(number: int) -> Call:
    sent = Moment(1e9 + number, float(number), "a boot")
    entry = RecordedGrant(GrantKey("limiter", number), "me", QUERY.site_url, 50, sent)
    forget = {GrantKey("limiter", number - 1)}
    return partial(SqliteStore.record_grants, grants=[entry], forget=forget)


def begin() -> Call:
    return partial(SqliteStore.begin_run, query=QUERY, start=day(1), end=day(30))


SESSIONS: list[list[Call]] = [
    [
        begin(),
        partial(
            SqliteStore.record_in_flight,
            query=QUERY,
            changes=InFlightChanges(taken=((Job(day(9)), "worker-1"), (Job(day(8)), "worker-1"))),
        ),
        grant(1),
        *write(page(9, 0, 40), page(8, 0, 0), taken=[Job(day(7)), Job(day(6))]),
        grant(2),
        *write(page(7, 0, 40), page(6, 0, 40), page(9, 40, 17), page(7, 40, 40), page(7, 80, 1)),
    ],
    [
        begin(),
        grant(3),
        *write(page(6, 40, 3), page(7, 0, 12, version="newer "), page(5, 0, 40), page(5, 40, 40)),
    ],
]
"""Two processes, one after another; each call is one transaction."""

CALLS = [call for session in SESSIONS for call in session]


@attrs.frozen
class Recording:
    """What a session did to the disk, and when which transaction was durable."""

    operations: tuple[Operation, ...]
    opened_at: int
    """After how many operations the database was there."""
    committed_at: tuple[int, ...]
    """After how many operations each call had returned."""
    dumps: tuple[str, ...]
    """The content after each number of calls."""

    def expected(self, died_at: int) -> tuple[str, ...]:
        """What may be there: all that had returned, and perhaps the one that was at work."""
        returned = sum(each <= died_at for each in self.committed_at)
        return self.dumps[returned : returned + 2]


def dump(connection: sqlite3.Connection) -> str:
    return "\n".join(dump_connection(connection))


@cache
def recording() -> Recording:
    dumps: list[str] = []
    committed_at: list[int] = []
    opened_at = 0

    async def run(path: Path, note: Callable[[SqliteStore | None], None]) -> None:
        for session in SESSIONS:
            async with open_sqlite_store(path) as store:
                store._connection.execute("PRAGMA wal_autocheckpoint = 12")
                assert store._checkpoints is not None
                store._checkpoints._bytes_between = 150  # every second page or so
                note(None)
                for call in session:
                    await call(store)
                    note(store)

    def note_operations(store: SqliteStore | None) -> None:
        nonlocal opened_at
        if store is not None:
            committed_at.append(len(vfs.operations))
        elif not committed_at:
            opened_at = len(vfs.operations)

    def note_dump(store: SqliteStore | None) -> None:
        if store is not None:
            dumps.append(dump(store._connection))

    with tempfile.TemporaryDirectory() as folder:
        with installed_vfs() as vfs:
            trio.run(run, Path(folder) / NAME, note_operations)
        with closing(open_connection(Path(folder) / "new.db", create=True, read_only=False)) as new:
            dumps.append(dump(new))
        trio.run(run, Path(folder) / "reference.db", note_dump)
    return Recording(tuple(vfs.operations), opened_at, tuple(committed_at), tuple(dumps))


# What lies on the disk.


def apply(files: Files, operation: Operation, length: int | None = None) -> None:
    """Do an operation, or the first so many bytes of it."""
    if operation.kind == "create":
        files.setdefault(operation.file, bytearray())
    elif operation.kind == "delete":
        files.pop(operation.file, None)
    elif operation.kind == "truncate":
        del files[operation.file][operation.offset :]
    elif operation.kind == "write":
        content = files.setdefault(operation.file, bytearray())
        data = operation.data if length is None else operation.data[:length]
        content.extend(bytes(max(0, operation.offset - len(content))))
        content[operation.offset : operation.offset + len(data)] = data


def copy_of(files: Files) -> Files:
    return {name: bytearray(content) for name, content in files.items()}


def clean(operations: Sequence[Operation]) -> Iterator[tuple[int, Files]]:
    """The process dies before each operation, and after the last."""
    files: Files = {}
    for number, operation in enumerate(operations):
        yield number, files
        apply(files, operation)
    yield len(operations), files


def torn(operations: Sequence[Operation]) -> Iterator[tuple[int, Files]]:
    """A write gets as far as its first sector, and as far as its middle, and no further."""
    files: Files = {}
    for number, operation in enumerate(operations):
        if operation.kind == "write":
            for length in {min(SECTOR_BYTES, len(operation.data) - 1), len(operation.data) // 2}:
                partly = copy_of(files)
                apply(partly, operation, length)
                yield number, partly
        apply(files, operation)


def power_loss(operations: Sequence[Operation]) -> Iterator[tuple[int, Files]]:
    """What was not synced is on the disk or not, or partly; in any combination."""
    durable: Files = {}
    pending: list[Operation] = []
    for number, operation in enumerate(operations):
        for seed in range(POWER_LOSSES):
            chance = random.Random(f"{number} {seed}")
            files = copy_of(durable)
            for each in pending:
                fate = chance.random()
                if fate < 0.4:
                    apply(files, each)
                elif fate < 0.6 and each.kind == "write":
                    sectors = len(each.data) // SECTOR_BYTES
                    apply(files, each, SECTOR_BYTES * chance.randint(0, sectors))
            yield number, files
        if operation.kind != "sync":
            pending.append(operation)
            continue
        # Syncing a file makes its own content durable, and what became of files before it.
        for each in pending:
            if each.file == operation.file or each.kind in {"create", "delete"}:
                apply(durable, each)
        pending = [
            each
            for each in pending
            if each.file != operation.file and each.kind not in {"create", "delete"}
        ]


def put(files: Files, folder: Path) -> Path:
    for suffix in ("", "-wal", "-journal", "-shm"):
        (folder / f"{NAME}{suffix}").unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / NAME


def content_of(path: Path) -> str:
    """Open it as the next process does, and see whether it is sound."""
    with closing(open_connection(path, create=True, read_only=False)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dump(connection)


async def go_on(path: Path, calls: Sequence[Call]) -> str:
    async with open_sqlite_store(path) as store:
        for call in calls:
            await call(store)
        return dump(store._connection)


@pytest.mark.parametrize("death", [clean, torn, power_loss])
def test_after_death_at_any_operation_every_transaction_is_there_or_not_and_the_run_goes_on(
    tmp_path: Path, death: Callable[[Sequence[Operation]], Iterator[tuple[int, Files]]]
) -> None:
    record = recording()
    states = resumed = 0
    for died_at, files in death(record.operations):
        place = f"{death.__name__} at {died_at}: {record.operations[died_at : died_at + 1]}"
        path = put(files, tmp_path)
        content = content_of(path)
        expected = record.expected(died_at)
        assert content in expected, place
        states += 1
        if states % 10 == 0:
            returned = record.dumps.index(content, record.dumps.index(expected[0]))
            assert trio.run(go_on, path, CALLS[returned:]) == record.dumps[-1], place
            resumed += 1
    assert states >= len(record.operations) / 2
    assert resumed > 10


def test_the_recorded_session_meets_all_that_a_store_does_to_a_disk() -> None:
    record = recording()
    assert len(record.dumps) == len(CALLS) + 1
    assert 0 < record.opened_at < record.committed_at[0]
    kinds = {(each.kind, each.file.removeprefix(NAME)) for each in record.operations}
    assert kinds >= {
        *(("create", suffix) for suffix in ("", "-journal", "-wal")),
        *(("write", suffix) for suffix in ("", "-journal", "-wal")),
        *(("sync", suffix) for suffix in ("", "-journal", "-wal")),
        *(("delete", suffix) for suffix in ("-journal", "-wal")),
    }
    # Checkpoints came in the middle: the file itself was written to between two commits.
    writes = [
        n for n, each in enumerate(record.operations) if (each.kind, each.file) == ("write", NAME)
    ]
    assert any(record.committed_at[0] < number < record.committed_at[-1] for number in writes)


def test_a_store_that_does_not_sync_would_be_found_out(tmp_path: Path) -> None:
    """The oracle of this file: without the syncs, power losses do harm."""
    record = recording()
    careless = [each for each in record.operations if each.kind != "sync"]
    harm = 0
    for died_at, files in power_loss(careless):
        if died_at > len(careless) // 2 and died_at % 10 == 0:
            try:
                harm += content_of(put(files, tmp_path)) != record.dumps[-1]
            except (AssertionError, GscTrioError, sqlite3.Error):
                harm += 1
    assert harm > 5
