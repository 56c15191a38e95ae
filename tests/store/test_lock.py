"""One writer a database, in one process or in two, whatever becomes of the one that has it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from gsc_trio.errors import DatabaseInUseError, UsageError
from gsc_trio.store.lock import lock_database, wait_for_database
from gsc_trio.store.sqlite import open_sqlite_store
from tests.processes import running

HOLD = """
import sys
from pathlib import Path
from gsc_trio.store.lock import lock_database
lock_database(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_a_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(path)]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def lock_file(path: Path) -> Path:
    return Path(f"{path}-lock")


async def test_the_second_store_is_refused_and_told_who_has_the_first(path: Path) -> None:
    async with open_sqlite_store(path):
        with pytest.raises(DatabaseInUseError) as refused:
            async with open_sqlite_store(path):
                pass
    message = str(refused.value)
    assert message.startswith(f"{path} is in use by process {os.getpid()} on ")
    assert message.endswith(" UTC: let that end first")


async def test_a_process_keeps_others_out_until_it_ends(path: Path) -> None:
    with (
        held_by_a_process(path) as process,
        pytest.raises(DatabaseInUseError, match=f"in use by process {process.pid} "),
    ):
        async with open_sqlite_store(path):
            pass
    async with open_sqlite_store(path):
        pass
    assert not lock_file(path).exists()


async def test_the_lock_of_a_killed_process_is_taken_over(path: Path) -> None:
    with held_by_a_process(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert str(process.pid) in lock_file(path).read_text()
    async with open_sqlite_store(path):
        assert str(os.getpid()) in lock_file(path).read_text()
    assert not lock_file(path).exists()


async def test_readers_need_no_lock(path: Path) -> None:
    async with open_sqlite_store(path):
        pass
    with held_by_a_process(path):
        async with open_sqlite_store(path, read_only=True) as store:
            assert await store.coverage() == []


async def test_a_link_to_a_database_is_the_same_database(path: Path) -> None:
    link = path.with_name("link.db")
    async with open_sqlite_store(path):
        link.symlink_to(path)
        with pytest.raises(DatabaseInUseError, match=r"link\.db is in use"):
            async with open_sqlite_store(link):
                pass


async def test_who_waits_goes_on_when_the_other_process_dies(path: Path) -> None:
    with held_by_a_process(path) as process:
        async with trio.open_nursery() as nursery:
            opened = trio.Event()

            async def wait() -> None:
                async with open_sqlite_store(path, wait=True):
                    opened.set()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            assert not opened.is_set()
            process.kill()
            with trio.fail_after(20):
                await opened.wait()


async def test_who_gave_up_waiting_holds_nothing_up(path: Path) -> None:
    first = lock_database(path)
    with trio.move_on_after(0.05) as scope:
        await wait_for_database(path)
    assert scope.cancelled_caught
    first.release()
    # The thread that was left behind may have it for an instant, and gives it back.
    with trio.fail_after(20):
        second = await wait_for_database(path)
    second.release()
    assert not lock_file(path).exists()


async def test_waiters_get_it_one_at_a_time(path: Path) -> None:
    holders = 0

    async def hold() -> None:
        nonlocal holders
        lock = await wait_for_database(path)
        holders += 1
        assert holders == 1
        await trio.sleep(0.001)
        holders -= 1
        lock.release()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(hold)
    assert not lock_file(path).exists()


async def test_who_waited_keeps_others_out_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who had the lock removes the file: a lock on what was removed keeps nobody out."""
    has_opened, flock = threading.Event(), fcntl.flock

    def flock_and_tell(descriptor: int, operation: int) -> None:
        if not operation & fcntl.LOCK_NB:
            has_opened.set()
        flock(descriptor, operation)

    async def hold() -> None:
        second = await wait_for_database(path)
        with pytest.raises(DatabaseInUseError):
            lock_database(path)
        second.release()

    monkeypatch.setattr("gsc_trio.store.lock.fcntl.flock", flock_and_tell)
    first = lock_database(path)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await trio.to_thread.run_sync(has_opened.wait)
            first.release()


def test_a_shorter_name_replaces_a_longer_one_of_a_dead_process(path: Path) -> None:
    lock_file(path).write_text("x" * 4_000)
    lock = lock_database(path)
    with pytest.raises(DatabaseInUseError, match=f"in use by process {os.getpid()} on "):
        lock_database(path)
    lock.release()


def test_a_lock_file_without_a_name_in_it_still_keeps_others_out(path: Path) -> None:
    lock = lock_database(path)
    lock_file(path).write_text("")
    with pytest.raises(DatabaseInUseError, match="in use by another process"):
        lock_database(path)
    lock.release()


def test_a_lock_file_that_someone_removed_is_made_again(path: Path) -> None:
    first = lock_database(path)
    lock_file(path).unlink()
    second = lock_database(path)
    first.release()
    with pytest.raises(DatabaseInUseError):
        lock_database(path)
    second.release()


async def test_no_lock_file_lies_beside_a_file_that_is_not_ours(path: Path) -> None:
    path.write_text("a diary " * 100)  # noqa: ASYNC240
    with pytest.raises(UsageError):
        async with open_sqlite_store(path):
            pass
    assert [each.name for each in path.parent.iterdir()] == [path.name]
