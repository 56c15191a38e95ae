"""What the ledger says of a day, what is under way, and what `coverage` makes of it.

It is the same for every store: here for an SQLite database, a folder of Parquet files and a
Postgres database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs
import pytest

from gsc_trio.model import InFlightChanges, Job, Page, SearchAnalyticsQuery
from gsc_trio.store.base import Coverage, StoredDay
from tests.store.databases import AnyStore, Reader

MakePage = Callable[..., Page]

pytestmark = pytest.mark.parametrize("store", ["sqlite", "parquet", "postgres"], indirect=True)

NO_CHANGES = InFlightChanges()
START, END = dt.date(2024, 1, 1), dt.date(2024, 1, 31)


def day(number: int) -> dt.date:
    return dt.date(2024, 1, number)


def in_flight(connection: Reader) -> list[tuple[str, int, str]]:
    return connection.execute(
        "SELECT data_date, start_row, worker FROM in_flight ORDER BY data_date, start_row"
    ).fetchall()


async def test_a_new_database_has_no_days(store: AnyStore, query: SearchAnalyticsQuery) -> None:
    assert await store.begin_run(query, START, END) == {}
    assert await store.coverage() == []


async def test_a_day_is_complete_when_its_last_page_is_not_full(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a"])], NO_CHANGES)
    await store.write_pages(query, [make_page(2, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(3, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(3, 3, ["d"])], NO_CHANGES)
    await store.write_pages(query, [make_page(4, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(4, 3)], NO_CHANGES)
    await store.write_pages(query, [make_page(5, 0)], NO_CHANGES)
    assert await store.begin_run(query, START, END) == {
        day(1): StoredDay(1, is_complete=True),
        day(2): StoredDay(3, is_complete=False),
        day(3): StoredDay(4, is_complete=True),
        day(4): StoredDay(3, is_complete=True),
        day(5): StoredDay(0, is_complete=True),
    }


async def test_only_days_of_the_range_are_told(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    for number in (1, 2, 3, 4):
        await store.write_pages(query, [make_page(number)], NO_CHANGES)
    assert set(await store.begin_run(query, day(2), day(3))) == {day(2), day(3)}


async def test_pages_of_runs_with_different_row_limits_make_one_day(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"], row_limit=3)], NO_CHANGES)
    await store.write_pages(query, [make_page(1, 3, ["d", "e"], row_limit=2)], NO_CHANGES)
    assert await store.begin_run(query, START, END) == {day(1): StoredDay(5, is_complete=False)}
    await store.write_pages(query, [make_page(1, 5, ["f"], row_limit=25_000)], NO_CHANGES)
    assert await store.begin_run(query, START, END) == {day(1): StoredDay(6, is_complete=True)}


async def test_a_day_goes_on_where_its_pages_stop_being_contiguous(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(1, 6, ["g"])], NO_CHANGES)
    await store.write_pages(query, [make_page(2, 3, ["d"])], NO_CHANGES)
    assert await store.begin_run(query, START, END) == {day(1): StoredDay(3, is_complete=False)}


@pytest.mark.parametrize(
    ("stored_as", "asked_as", "is_there"),
    [
        ("final", "final", True),
        ("final", "all", True),
        ("all", "all", True),
        ("all", "final", False),
    ],
)
async def test_days_that_may_not_be_final_are_missing_for_a_final_query(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    stored_as: str,
    asked_as: str,
    is_there: bool,
) -> None:
    await store.write_pages(
        attrs.evolve(query, data_state=stored_as), [make_page(1, 0, ["a"])], NO_CHANGES
    )
    stored = await store.begin_run(attrs.evolve(query, data_state=asked_as), START, END)
    assert (day(1) in stored) is is_there


async def test_one_page_that_may_not_be_final_puts_the_whole_day_in_doubt(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    not_final = attrs.evolve(query, data_state="all")
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(not_final, [make_page(1, 3, ["d"])], NO_CHANGES)
    assert await store.begin_run(query, START, END) == {}
    assert await store.begin_run(not_final, START, END) == {day(1): StoredDay(4, is_complete=True)}


async def test_jobs_in_flight_are_told_until_they_are_committed_or_returned(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    jobs = [Job(day(number)) for number in (1, 2, 3)]
    await store.record_in_flight(query, InFlightChanges(taken=tuple((job, "w1") for job in jobs)))
    assert in_flight(reader) == [(f"2024-01-0{n}", 0, "w1") for n in (1, 2, 3)]
    await store.write_pages(query, [make_page(1, rows=["a"])], InFlightChanges(returned=(jobs[1],)))
    assert in_flight(reader) == [("2024-01-03", 0, "w1")]
    [coverage] = await store.coverage()
    assert coverage.in_flight == 1


async def test_a_page_whose_job_was_taken_since_the_last_change_leaves_the_registry(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    taken = ((Job(day(1)), "w1"), (Job(day(2)), "w1"))
    await store.write_pages(query, [make_page(1, rows=["a"])], InFlightChanges(taken=taken))
    assert in_flight(reader) == [("2024-01-02", 0, "w1")]


async def test_a_job_that_changed_hands_more_than_once_is_where_it_ended_up(
    store: AnyStore, query: SearchAnalyticsQuery, reader: Reader
) -> None:
    job = Job(day(1))
    await store.record_in_flight(query, InFlightChanges(taken=((job, "w1"),)))
    await store.record_in_flight(query, InFlightChanges(returned=(job, job), taken=((job, "w2"),)))
    assert in_flight(reader) == [("2024-01-01", 0, "w2")]
    await store.record_in_flight(query, InFlightChanges(returned=(job,)))
    assert in_flight(reader) == []
    # Taken, returned and taken again before any of it was written down.
    await store.record_in_flight(query, InFlightChanges(returned=(job,), taken=((job, "w3"),)))
    assert in_flight(reader) == [("2024-01-01", 0, "w3")]


async def test_a_new_run_forgets_what_its_dataset_had_in_flight(
    store: AnyStore, query: SearchAnalyticsQuery, reader: Reader
) -> None:
    other = attrs.evolve(query, search_type="image")
    for dataset, worker in ((query, "mine"), (other, "theirs")):
        await store.record_in_flight(dataset, InFlightChanges(taken=((Job(day(1)), worker),)))
    await store.begin_run(query, day(5), day(6))
    assert in_flight(reader) == [("2024-01-01", 0, "theirs")]


async def test_coverage_sums_up_each_dataset(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    other = attrs.evolve(query, search_type="image", dimensions=())
    started = attrs.evolve(query, search_type="news")
    await store.write_pages(query, [make_page(3, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(3, 3, ["d"])], NO_CHANGES)
    await store.write_pages(query, [make_page(5, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(8, 0)], NO_CHANGES)
    await store.write_pages(other, [make_page(2)], NO_CHANGES)
    await store.begin_run(started, START, END)
    assert await store.coverage() == [
        Coverage(
            site_url="sc-domain:example.com",
            search_type="image",
            dimensions=(),
            days_complete=1,
            days_missing=0,
            rows=0,
            first_day=day(2),
            last_day=day(2),
            in_flight=0,
            in_flight_since=None,
        ),
        Coverage(
            site_url="sc-domain:example.com",
            search_type="web",
            dimensions=("query",),
            days_complete=2,
            days_missing=4,
            rows=7,
            first_day=day(3),
            last_day=day(8),
            in_flight=0,
            in_flight_since=None,
        ),
    ]
