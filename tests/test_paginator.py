"""The plan, and where a history begins."""

from __future__ import annotations

import datetime as dt

import pytest

from gsc_trio.dates import check_range, last_final_day, oldest_day
from gsc_trio.errors import UsageError
from gsc_trio.model import Job, Page, Row
from gsc_trio.paginator import EmptyDays, plan_jobs
from gsc_trio.store.base import StoredDay


def day(number: int) -> dt.date:
    return dt.date(2026, 3, number)


def first_page(number: int, rows: int) -> Page:
    return Page(Job(day(number)), [Row()] * rows, 25_000, 100)


def test_the_plan_goes_from_the_newest_day_to_the_oldest_and_leaves_out_what_is_complete() -> None:
    stored = {
        day(2): StoredDay(rows=10, is_complete=True),
        day(3): StoredDay(rows=25_000, is_complete=False),
    }
    assert plan_jobs(stored, day(1), day(4)) == [Job(day(4)), Job(day(3), 25_000), Job(day(1))]


def test_empty_days_in_a_row_halt_at_the_limit_and_name_the_days() -> None:
    empty_days = EmptyDays(3, day(20), {})
    verdicts = [
        empty_days.note(first_page(number, rows))
        for number, rows in [(20, 0), (19, 0), (18, 5), (17, 0), (16, 0), (15, 0)]
    ]
    assert verdicts[:-1] == [None] * 5
    assert verdicts[-1] is not None
    assert "2026-03-17 back to 2026-03-15" in verdicts[-1].reason
    assert verdicts[-1].status == "halted"


def test_days_that_were_stored_before_count_where_they_lie() -> None:
    stored = {
        day(19): StoredDay(rows=0, is_complete=True),
        day(17): StoredDay(rows=9, is_complete=True),
        day(15): StoredDay(rows=0, is_complete=True),
    }
    empty_days = EmptyDays(3, day(20), stored)
    assert empty_days.note(first_page(20, 0)) is None
    assert empty_days.note(first_page(18, 0)) is not None
    empty_days = EmptyDays(3, day(18), stored)
    assert empty_days.note(first_page(18, 0)) is None
    assert empty_days.note(first_page(16, 0)) is None
    assert empty_days.note(first_page(14, 0)) is not None


def test_second_pages_are_not_days() -> None:
    empty_days = EmptyDays(2, day(20), {})
    assert empty_days.note(first_page(20, 3)) is None
    assert empty_days.note(first_page(19, 0)) is None
    empty_second_page = Page(Job(day(20), 3), [], 3, 2)
    assert empty_days.note(empty_second_page) is None
    assert empty_days.note(first_page(18, 0)) is not None


def test_without_a_limit_nothing_halts() -> None:
    empty_days = EmptyDays(None, day(20), {})
    assert all(empty_days.note(first_page(number, 0)) is None for number in range(20, 0, -1))


@pytest.mark.parametrize(
    ("today", "oldest"),
    [
        (dt.date(2026, 11, 23), dt.date(2025, 7, 23)),
        (dt.date(2026, 4, 30), dt.date(2024, 12, 30)),
        (dt.date(2026, 6, 30), dt.date(2025, 2, 28)),
        (dt.date(2025, 6, 30), dt.date(2024, 2, 29)),
    ],
)
def test_history_goes_back_16_months(today: dt.date, oldest: dt.date) -> None:
    assert oldest_day(today) == oldest
    check_range(oldest, today, today)
    with pytest.raises(UsageError, match=f"start on {oldest} or later"):
        check_range(oldest - dt.timedelta(days=1), today, today)


def test_days_that_cannot_have_data_are_refused() -> None:
    today = dt.date(2026, 11, 23)
    assert last_final_day(today) == dt.date(2026, 11, 20)
    with pytest.raises(UsageError, match="2026-11-24 is in the future"):
        check_range(today, dt.date(2026, 11, 24), today)
    with pytest.raises(UsageError, match="start 2026-11-20 is after the end 2026-11-19"):
        check_range(dt.date(2026, 11, 20), dt.date(2026, 11, 19), today)
