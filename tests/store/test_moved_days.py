"""A day whose rows move is fetched again, but not for ever."""

from __future__ import annotations

import datetime as dt

import pytest

from gsc_trio.model import InFlightChanges, Job, Page, SearchAnalyticsQuery
from gsc_trio.store.base import StoredDay
from gsc_trio.store.moved_days import TIMES_AGAIN, MovedDays
from tests.store.conftest import MakePage
from tests.store.databases import AnyStore

DAY = dt.date(2026, 1, 1)


def note(days: MovedDays, start_row: int, *, repeats: bool = False, dataset_id: int = 1) -> bool:
    page = Page(Job(DAY, start_row), [], row_limit=3, content_bytes=1)
    return days.note(dataset_id, page, repeats_rows=repeats)


def attempt(days: MovedDays) -> bool:
    note(days, 0)
    return note(days, 3, repeats=True)


def test_a_day_that_repeats_rows_is_to_be_fetched_again() -> None:
    days = MovedDays()
    assert [note(days, 0), note(days, 3), note(days, 6, repeats=True)] == [False, False, True]


def test_a_day_whose_rows_never_rest_is_taken_as_it_is_in_the_end() -> None:
    days = MovedDays()
    assert [attempt(days) for _ in range(TIMES_AGAIN + 2)] == [True] * TIMES_AGAIN + [False] * 2


def test_several_pages_that_repeat_rows_are_one_attempt() -> None:
    days = MovedDays()
    for _ in range(TIMES_AGAIN):
        assert attempt(days)
        assert note(days, 6, repeats=True)
    assert not attempt(days)
    assert not note(days, 6, repeats=True)


def test_datasets_are_counted_apart() -> None:
    days = MovedDays()
    for _ in range(TIMES_AGAIN + 1):
        attempt(days)
    assert note(days, 3, repeats=True, dataset_id=2)


@pytest.mark.parametrize("store", ["sqlite", "parquet", "postgres"], indirect=True)
async def test_a_day_whose_rows_moved_counts_as_missing_until_it_was_fetched_again(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    first, day = make_page(1, 0, ["a", "b", "c"]), dt.date(2024, 1, 1)
    assert not await store.write_pages(query, [first], InFlightChanges())
    moved = await store.write_pages(query, [make_page(1, 3, ["c", "d"])], InFlightChanges())
    assert moved == {day}
    assert await store.begin_run(query, day, day) == {}
    pages = [first, make_page(1, 3, ["d", "e"])]
    assert not await store.write_pages(query, pages, InFlightChanges())
    assert await store.begin_run(query, day, day) == {day: StoredDay(5, is_complete=True)}


@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
async def test_a_day_that_is_doubted_keeps_its_rows_and_counts_as_missing(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    pages = [make_page(1, 0, ["a"]), make_page(2, 0, ["b"])]
    await store.write_pages(query, pages, InFlightChanges())
    days = [page.job.data_date for page in pages]
    await store.doubt(query, days[:1])
    stored = await store.begin_run(query, days[0], days[1])
    assert stored == {days[1]: StoredDay(1, is_complete=True)}
    counted = await store.audit(query, days)
    assert [day.rows for day in counted] == [1, 1]
