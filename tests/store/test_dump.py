"""Two databases with the same content have the same dump, and only then."""

from __future__ import annotations

import datetime as dt
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gsc_trio.errors import UsageError
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.dump import comparable_dump, dump_statements
from gsc_trio.store.sqlite import open_sqlite_store

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()


async def test_the_order_in_which_days_were_written_does_not_show(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    days = list(range(1, 20))
    dumps = set()
    for seed in range(3):
        random.Random(seed).shuffle(days)
        async with open_sqlite_store(tmp_path / f"{seed}.db") as store:
            for start_row, rows in ((0, ["b", "a", "c"]), (3, ["e", "d"])):
                for day in days:
                    await store.write_pages(query, [make_page(day, start_row, rows)], NO_CHANGES)
        dumps.add(comparable_dump(tmp_path / f"{seed}.db"))
    assert len(dumps) == 1


async def test_sqlites_own_dump_differs_in_clock_times_only(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    dumps = []
    for name, days in (("a.db", [1, 2]), ("b.db", [2, 1])):
        async with open_sqlite_store(tmp_path / name) as store:
            for day in days:
                await store.write_pages(query, [make_page(day, rows=["a", "b"])], NO_CHANGES)
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.execute("UPDATE page_ledger SET committed_at = ''")
            dumps.append(list(connection.iterdump()))
    assert dumps[0] == dumps[1]


@pytest.mark.parametrize(
    "other",
    [
        Row(("text",), 2.0, 2.0, 3.0),
        Row(("text",), 1.0, 3.0, 3.0),
        Row(("text",), 1.0, 2.0, 3.0000000000000004),
        Row(("text",), 1.0, 2.0),
        Row(("text\0",), 1.0, 2.0, 3.0),
        Row(("text\0more",), 1.0, 2.0, 3.0),
    ],
)
async def test_any_other_value_shows(
    tmp_path: Path, query: SearchAnalyticsQuery, make_page: MakePage, other: Row
) -> None:
    for name, row in (("a.db", Row(("text",), 1.0, 2.0, 3.0)), ("b.db", other)):
        async with open_sqlite_store(tmp_path / name) as store:
            await store.write_pages(query, [make_page(1, rows=[row])], NO_CHANGES)
    assert comparable_dump(tmp_path / "a.db") != comparable_dump(tmp_path / "b.db")


async def test_a_dump_makes_the_same_database_again(
    path: Path, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    texts = ["it's", "two\nlines", "null\0inside", "🦊"]
    async with open_sqlite_store(path) as store:
        await store.write_pages(query, [make_page(1, rows=texts)], NO_CHANGES)
    # Without the tables that have clock times: those columns are not in the dump.
    statements = [line for line in dump_statements(path) if '"page_ledger" (' not in line[:30]]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript("\n".join(statements))
        found = connection.execute("SELECT query FROM search_analytics_by_query").fetchall()
    assert sorted(text for (text,) in found) == sorted(texts)


async def test_clock_times_are_left_aside_and_workers_are_not(
    path: Path, query: SearchAnalyticsQuery
) -> None:
    async with open_sqlite_store(path) as store:
        taken = ((Job(dt.date(2024, 1, 1)), "worker 7"),)
        await store.record_in_flight(query, InFlightChanges(taken=taken))
        dump = comparable_dump(path)
    [line] = [line for line in dump.splitlines() if line.startswith('INSERT INTO "in_flight"')]
    assert line == (
        'INSERT INTO "in_flight" ("dataset_id", "data_date", "start_row", "worker") '
        "VALUES (1,'2024-01-01',0,'worker 7');"
    )


def test_there_must_be_a_database(path: Path) -> None:
    with pytest.raises(UsageError, match="there is no database at"):
        comparable_dump(path)
