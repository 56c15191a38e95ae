"""Whether a page may repeat rows: a no is always right, and a yes is rare where nothing repeats."""

from __future__ import annotations

import datetime as dt
import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.model import Job, Page, Row
from gsc_trio.store.open_days import OpenDays
from gsc_trio.store.rows import hashes_of

ROW_LIMIT = 3
DAY = dt.date(2026, 1, 1)


def page_of(keys: str, start_row: int = 0) -> Page:
    return Page(Job(DAY, start_row), [Row((key,)) for key in keys], ROW_LIMIT, 1)


def note(days: OpenDays, keys: str, start_row: int = 0, dataset_id: int = 1) -> bool:
    page = page_of(keys, start_row)
    return days.note(dataset_id, DAY.isoformat(), page, hashes_of(page.rows))


def test_pages_with_rows_of_their_own_repeat_nothing() -> None:
    days = OpenDays()
    assert [note(days, "abc"), note(days, "def", 3), note(days, "g", 6)] == [False] * 3


def test_a_row_of_any_earlier_page_is_a_repetition() -> None:
    days = OpenDays()
    assert [note(days, "abc"), note(days, "def", 3), note(days, "ga", 6)] == [False, False, True]


def test_what_another_process_began_has_to_be_looked_at() -> None:
    days = OpenDays()
    assert note(days, "def", 3)
    assert note(days, "ghi", 6)
    assert not note(days, "", 9)


def test_datasets_are_kept_apart() -> None:
    days = OpenDays()
    note(days, "abc", dataset_id=1)
    note(days, "xyz", dataset_id=2)
    assert note(days, "c", 3, dataset_id=1)
    assert not note(days, "c", 3, dataset_id=2)


def test_a_day_that_begins_again_is_another_day() -> None:
    days = OpenDays()
    note(days, "abc")
    note(days, "xyz")
    assert not note(days, "c", 3)


def test_a_gap_has_to_be_looked_at() -> None:
    days = OpenDays()
    note(days, "abc")
    assert note(days, "x", 6)


def test_no_more_is_remembered_than_allowed() -> None:
    days = OpenDays(max_pages=1)
    note(days, "abc", dataset_id=1)
    note(days, "abc", dataset_id=2)
    assert not note(days, "d", 3, dataset_id=1)
    assert note(days, "d", 3, dataset_id=2)


def test_places_are_taken_again_when_their_day_has_ended() -> None:
    days = OpenDays(max_pages=1)
    for dataset_id in range(5):
        note(days, "abc", dataset_id=dataset_id)
        assert note(days, "c", 3, dataset_id=dataset_id)
        note(days, "xyz", dataset_id=dataset_id)
        assert not note(days, "c", 3, dataset_id=dataset_id)


def test_what_cannot_be_remembered_has_to_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    days = OpenDays()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        note(days, "abc")
    assert note(days, "d", 3)
    note(days, "abc")
    with monkeypatch.context() as disk:
        disk.setattr(os, "pread", full)
        assert note(days, "def", 3)
    assert not note(days, "g", 6)


@given(
    st.lists(st.text("abcdefghij", min_size=3, max_size=3), min_size=1, max_size=5),
    st.integers(1, 4),
)
def test_a_no_is_always_right(pages: list[str], max_pages: int) -> None:
    days, seen = OpenDays(max_pages), set[str]()
    for number, keys in enumerate(pages):
        if not note(days, keys, number * ROW_LIMIT):
            assert seen.isdisjoint(keys)
        seen.update(keys)
