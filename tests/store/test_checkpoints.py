"""Checkpoints beside the writing: the log goes into the file meanwhile, and none fails a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store

NO_CHANGES = InFlightChanges()
MakePage = Callable[..., Page]


def size_of(path: Path) -> int:
    return path.stat().st_size


def often(store: SqliteStore) -> None:
    """A checkpoint beside every page but the first."""
    assert store._checkpoints is not None
    store._checkpoints._bytes_between = 1


async def test_what_was_committed_reaches_the_file_while_the_next_page_is_written(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, path: Path
) -> None:
    rows = [f"query {number}" for number in range(9_000)]
    await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)
    size_before = size_of(path)
    often(store)
    await store.write_pages(query, [make_page(2, rows=["a"])], NO_CHANGES)
    assert size_of(path) > size_before + 100_000


async def test_little_is_not_worth_a_checkpoint(
    store: SqliteStore, query: SearchAnalyticsQuery, make_page: MakePage, path: Path
) -> None:
    size_before = size_of(path)
    for day in range(1, 20):
        await store.write_pages(query, [make_page(day, rows=["a"])], NO_CHANGES)
    assert size_of(path) == size_before


async def test_a_checkpoint_that_fails_fails_nothing(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_sqlite_store(path) as store:
        often(store)
        assert store._checkpoints is not None
        connection = store._checkpoints._connection
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
        for day in (1, 2, 3):
            await store.write_pages(query, [make_page(day, rows=["a"])], NO_CHANGES)
    assert comparable_dump(path).count("'a'") == 3


async def test_who_is_cancelled_while_a_checkpoint_is_made_still_hears_that_the_page_is_written(
    store: SqliteStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    often(store)
    assert store._checkpoints is not None
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    scope = trio.CancelScope()

    def cancel() -> None:
        trio.from_thread.run_sync(scope.cancel)

    monkeypatch.setattr(store._checkpoints, "_checkpoint", cancel)
    heard = False
    with scope:
        await store.write_pages(query, [make_page(2, rows=["a"])], NO_CHANGES)
        heard = True
    assert heard
    assert scope.cancel_called
