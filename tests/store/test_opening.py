"""A path is a database of ours, or becomes one, or is left exactly as it was."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from sqlite_utils import Database

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store import schema
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import open_sqlite_store

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file beside the database, its bytes and when it was written."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*")
        if file.is_file()
    }


async def assert_refused(path: Path, message: str, *, read_only: bool | None = None) -> None:
    """Opening fails with this message, naming the path in one line, and changes nothing."""
    before = snapshot(path.parent) if path.parent.is_dir() else {}
    for mode in (False, True) if read_only is None else (read_only,):
        with pytest.raises(UsageError, match=message) as caught:
            async with open_sqlite_store(path, read_only=mode):
                pass
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert (snapshot(path.parent) if path.parent.is_dir() else {}) == before


async def test_a_new_database_has_its_marks_and_is_durable(path: Path) -> None:
    async with open_sqlite_store(path) as store:
        pragmas = {
            name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version", "journal_mode", "synchronous")
        }
    assert pragmas == {
        "application_id": schema.APPLICATION_ID,
        "user_version": len(schema.MIGRATIONS),
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
    }
    assert os.listdir(path.parent) == [path.name]


async def test_opening_again_changes_nothing(path: Path) -> None:
    async with open_sqlite_store(path):
        pass
    before = snapshot(path.parent)
    async with open_sqlite_store(path):
        pass
    async with open_sqlite_store(path, read_only=True):
        pass
    comparable_dump(path)
    assert snapshot(path.parent) == before


@pytest.mark.parametrize(
    "name", ["a?mode=memory", "50%20 off#1", "🦊 d'été.db", ":memory:", "semi;colon&c=d"]
)
async def test_any_file_name_will_do(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage, name: str
) -> None:
    for _ in range(2):
        async with open_sqlite_store(tmp_path / name) as store:
            await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    assert os.listdir(tmp_path) == [name]
    assert "'2024-01-01',0,'a'" in comparable_dump(tmp_path / name)


async def test_a_relative_path_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_sqlite_store("search.db"):
        pass
    assert (tmp_path / "search.db").is_file()


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    await trio.Path(path).touch()
    await assert_refused(path, "there is no database at", read_only=True)
    async with open_sqlite_store(path) as store:
        assert await store.coverage() == []


async def test_a_database_without_a_schema_becomes_ours(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE gone (a)")
        connection.execute("DROP TABLE gone")
    await assert_refused(path, "there is no database at", read_only=True)
    async with open_sqlite_store(path) as store:
        assert await store.coverage() == []


async def test_a_missing_database_is_not_made_unless_wanted(path: Path) -> None:
    await assert_refused(path, "there is no database at", read_only=True)
    with pytest.raises(UsageError, match="there is no database at"):
        async with open_sqlite_store(path, create=False):
            pass
    assert os.listdir(path.parent) == []


async def test_the_folder_must_be_there(tmp_path: Path) -> None:
    await assert_refused(tmp_path / "no" / "search.db", "the folder of .* does not exist")
    (tmp_path / "file").touch()
    await assert_refused(tmp_path / "file" / "search.db", "the folder of .* does not exist")


async def test_a_folder_or_a_device_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    await assert_refused(
        tmp_path / "folder", "is a folder: name a database file. A folder of Parquet"
    )
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is not an ordinary file"):
        async with open_sqlite_store(tmp_path / "pipe"):
            pass


@pytest.mark.parametrize("name", ["x" * 300, "null\0character"])
async def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened: "):
        async with open_sqlite_store(tmp_path / name):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"a", b"hello\n", b"x" * 511, b"x" * 512, b"\0" * 10_000])
async def test_another_kind_of_file_is_left_alone(path: Path, content: bytes) -> None:
    await trio.Path(path).write_bytes(content)
    await assert_refused(path, "is not a SQLite database")


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE theirs (a)", "PRAGMA application_id = 42", "CREATE VIEW v AS SELECT 1"],
)
async def test_a_database_of_another_program_is_left_alone(
    path: Path, journal_mode: str, statement: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute(statement)
        connection.commit()
    await assert_refused(path, "is a database of another program")


async def test_a_database_that_another_program_has_open_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE theirs (a)")  # in the log only
        before = await trio.Path(path).read_bytes()
        with pytest.raises(UsageError, match="is a database of another program"):
            async with open_sqlite_store(path):
                pass
        assert await trio.Path(path).read_bytes() == before
        connection.execute("INSERT INTO theirs VALUES (1)")


async def test_the_log_that_another_programs_crash_left_is_left_alone(tmp_path: Path) -> None:
    crashed = tmp_path / "crashed.db"
    with closing(sqlite3.connect(tmp_path / "open.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE theirs (a)")  # in the log only
        for suffix in ("", "-wal"):
            shutil.copy(tmp_path / f"open.db{suffix}", f"{crashed}{suffix}")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match="is a database of another program"):
        async with open_sqlite_store(crashed):
            pass
    assert before.items() <= snapshot(tmp_path).items()


async def test_a_newer_database_is_left_alone(path: Path) -> None:
    async with open_sqlite_store(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    await assert_refused(path, "was made by a newer gsc-trio: update gsc-trio")


async def test_an_older_database_is_brought_up_to_date(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_sqlite_store(path) as store:
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)

    def add_a_note(database: Database) -> None:
        database.table("dataset").add_column("note", str)

    schema.MIGRATIONS.append(add_a_note)
    version = len(schema.MIGRATIONS)
    try:
        await assert_refused(path, "was made by an older gsc-trio", read_only=True)
        async with open_sqlite_store(path) as store:
            assert await store.begin_run(query, dt.date(2024, 1, 1), dt.date(2024, 1, 1))
        dump = comparable_dump(path)
    finally:
        schema.MIGRATIONS.pop()
    assert '"note" TEXT' in dump
    assert f"PRAGMA user_version = {version};" in dump


async def test_a_migration_that_fails_leaves_the_older_database(path: Path) -> None:
    async with open_sqlite_store(path):
        pass
    before = comparable_dump(path)

    def fail_halfway(database: Database) -> None:
        database.table("dataset").add_column("note", str)
        database.execute("SELECT nonsense")

    schema.MIGRATIONS.append(fail_halfway)
    try:
        with pytest.raises(StorageError, match=r"cannot open .*nonsense"):
            async with open_sqlite_store(path):
                pass
    finally:
        schema.MIGRATIONS.pop()
    assert comparable_dump(path) == before


async def test_a_killed_creation_leaves_a_file_that_can_be_opened(path: Path) -> None:
    program = """if True:
        import os, signal, sys, trio
        from gsc_trio.store import schema
        from gsc_trio.store.sqlite import open_sqlite_store

        async def main():
            async with open_sqlite_store(sys.argv[1]):
                pass

        def die(database):
            database.execute("PRAGMA cache_size = 1")
            database.execute("CREATE TABLE large AS SELECT randomblob(1000000)")
            os.kill(os.getpid(), signal.SIGKILL)

        schema.MIGRATIONS.append(die)
        trio.run(main)
    """
    process = await trio.run_process([sys.executable, "-c", program, str(path)], check=False)
    assert process.returncode == -9
    assert await trio.Path(f"{path}-journal").exists()
    async with open_sqlite_store(path) as store:
        assert await store.coverage() == []
    assert "large" not in comparable_dump(path)


async def test_a_database_can_be_read_while_it_is_written(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_sqlite_store(path) as store:
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
        async with open_sqlite_store(path, read_only=True) as reader:
            [coverage] = await reader.coverage()
            assert coverage.days_complete == 1
            await store.write_pages(query, [make_page(2, rows=["a"])], NO_CHANGES)
            [coverage] = await reader.coverage()
            assert coverage.days_complete == 2


async def test_a_read_only_store_writes_nothing(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_sqlite_store(path):
        pass
    async with open_sqlite_store(path, read_only=True) as store:
        with pytest.raises(StorageError, match="it can only be read"):
            await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)


@pytest.mark.parametrize("offset", [100, schema.PAGE_SIZE_BYTES])
async def test_a_damaged_database_is_told(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage, offset: int
) -> None:
    async with open_sqlite_store(path) as store:
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    content = await trio.Path(path).read_bytes()
    await trio.Path(path).write_bytes(content[:offset] + b"\xff" * (len(content) - offset))
    with pytest.raises(StorageError, match=r"search.db: it is damaged: restore it from a copy"):
        async with open_sqlite_store(path) as store:
            await store.coverage()
    with pytest.raises(StorageError, match=r"search.db: it is damaged: restore it from a copy"):
        async with open_sqlite_store(path) as store:
            await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)


async def test_a_path_without_permission_to_write_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    await assert_refused(path, "no permission to write to", read_only=False)


async def test_programs_that_make_a_database_at_once_make_one(path: Path) -> None:
    program = """if True:
        import sys, trio
        from gsc_trio.store.sqlite import open_sqlite_store

        async def main():
            sys.stdin.read()
            async with open_sqlite_store(sys.argv[1], wait=True):
                pass

        trio.run(main)
    """
    gates = []

    async def run(task_status: trio.TaskStatus[trio.Process]) -> None:
        command = [sys.executable, "-c", program, str(path)]
        await trio.run_process(command, stdin=subprocess.PIPE, task_status=task_status)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            process: trio.Process = await nursery.start(run)
            gates.append(process.stdin)
        for gate in gates:
            assert gate is not None
            await gate.aclose()
    assert f"PRAGMA user_version = {len(schema.MIGRATIONS)};" in comparable_dump(path)
