"""Runs that are over are remembered, and tell of nothing but themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from gsc_trio.errors import StorageError
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.base import RecordedRun
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.runs import RUNS_KEPT
from gsc_trio.store.sqlite import open_sqlite_store
from tests.store.databases import AnyStore, Reader

MakePage = Callable[..., Page]

BOTH = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)

RUN = RecordedRun(
    site_url="sc-domain:example.com",
    search_type="web",
    dimensions=("page", "query"),
    status="complete",
    started_at=dt.datetime(2026, 6, 20, 12, 30, tzinfo=dt.UTC),
    duration_seconds=1.5,
    record='{"it\'s": "a record"}',
)


@BOTH
async def test_a_run_comes_back_as_it_was(store: AnyStore) -> None:
    other = attrs.evolve(RUN, dimensions=(), status="failed")
    assert await store.record_run(RUN) == 1
    assert await store.record_run(other) == 2
    assert await store.run() == attrs.evolve(other, number=2)
    assert await store.run(1) == attrs.evolve(RUN, number=1)
    assert await store.run(3) is None
    assert await store.runs() == [
        attrs.evolve(other, number=2, record=""),
        attrs.evolve(RUN, number=1, record=""),
    ]


@BOTH
async def test_without_a_run_there_is_none(store: AnyStore) -> None:
    assert await store.run() is None
    assert await store.runs() == []


@BOTH
async def test_only_the_last_runs_are_kept_and_keep_their_numbers(store: AnyStore) -> None:
    for _ in range(RUNS_KEPT + 3):
        await store.record_run(RUN)
    numbers = [run.number for run in await store.runs()]
    assert numbers == list(range(RUNS_KEPT + 3, 3, -1))


async def test_runs_do_not_show_in_a_comparison_of_databases(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    for name, runs in (("a.db", 0), ("b.db", 2)):
        async with open_sqlite_store(tmp_path / name) as store:
            await store.write_pages(query, [make_page(1, rows=["a"])], InFlightChanges())
            for _ in range(runs):
                await store.record_run(RUN)
    assert comparable_dump(tmp_path / "a.db") == comparable_dump(tmp_path / "b.db")


@BOTH
async def test_a_run_is_recorded_whole_or_not_at_all(store: AnyStore, reader: Reader) -> None:
    await store.record_run(RUN)
    with pytest.raises(StorageError, match="a value cannot be stored"):
        await store.record_run(attrs.evolve(RUN, status="\ud800"))
    assert reader.execute("SELECT count(*) FROM run").fetchone() == (1,)


@BOTH
async def test_days_are_told_as_a_run_finds_them(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    first, last = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
    assert await store.stored_days(query, first, last) == {}
    pages = [make_page(1, rows=["a"]), make_page(2, rows=["a", "b", "c"]), make_page(3)]
    await store.write_pages(query, pages, InFlightChanges())
    found = await store.stored_days(query, first, last)
    assert found == await store.begin_run(query, first, last)
    assert [(day.rows, day.is_complete) for _, day in sorted(found.items())] == [
        (1, True),
        (3, False),
    ]
