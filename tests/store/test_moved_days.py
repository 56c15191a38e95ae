"""A day whose rows move is fetched again, but not for ever."""

from __future__ import annotations

import datetime as dt

from gsc_trio.model import Job, Page
from gsc_trio.store.moved_days import TIMES_AGAIN, MovedDays

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
