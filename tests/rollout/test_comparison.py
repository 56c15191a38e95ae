"""Days are compared, not files: equal days are equal dumps, whatever else a database holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pytest

from gsc_trio.errors import UsageError
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.rollout.comparison import Comparison, DayDifference, Reference, days_stored
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import open_sqlite_store
from tests.rollout.conftest import QUERY, day

OTHER = SearchAnalyticsQuery("https://other.example/", row_limit=20)
DAYS = [day(0), day(1), day(2)]

Content = Mapping[dt.date, str]
"""A letter for each row of a day."""

CONTENT: Content = {day(0): "abc", day(1): "", day(2): "xyzw"}


async def database(path: Path, content: Content, *, others: Content | None = None) -> Path:
    async with open_sqlite_store(path) as store:
        for query, wanted in ((OTHER, others or {}), (QUERY, content)):
            for data_date, letters in wanted.items():
                rows = [Row((f"/{letter}", letter), 1, 2, 3.0) for letter in letters]
                page = Page(Job(data_date), rows, query.row_limit, 100)
                await store.write_pages(query, [page], InFlightChanges())
    return path


async def compared(folder: Path, content: Content, *, others: Content | None = None) -> Comparison:
    expected = await database(folder / "expected.db", CONTENT)
    found = await database(folder / "found.db", content, others=others)
    return Reference(expected, QUERY, DAYS).compare(found)


async def test_equal_dumps_are_equal_days(folder: Path) -> None:
    assert await compared(folder, CONTENT) == Comparison(days=3, rows=7, differences=())
    assert comparable_dump(folder / "expected.db") == comparable_dump(folder / "found.db")


async def test_other_days_and_properties_do_not_count(folder: Path) -> None:
    comparison = await compared(folder, {**CONTENT, day(3): "q"}, others={day(0): "zz"})
    assert comparison == Comparison(days=3, rows=7, differences=())


@pytest.mark.parametrize(
    ("content", "difference"),
    [
        ({**CONTENT, day(2): "xyz"}, DayDifference(day(2), 3, 4, is_order_only=False)),
        ({**CONTENT, day(0): "abcd"}, DayDifference(day(0), 4, 3, is_order_only=False)),
        ({**CONTENT, day(0): "abd"}, DayDifference(day(0), 3, 3, is_order_only=False)),
        ({**CONTENT, day(0): "acb"}, DayDifference(day(0), 3, 3, is_order_only=True)),
        ({day(0): "abc", day(1): ""}, DayDifference(day(2), 0, 4, is_order_only=False)),
    ],
)
async def test_what_differs_is_told_by_the_day(
    folder: Path, content: Content, difference: DayDifference
) -> None:
    comparison = await compared(folder, content)
    assert comparison.differences == (difference,)
    assert comparison.days_with_other_counts == (difference.rows != difference.expected_rows)


async def test_a_day_without_rows_is_not_a_day_that_is_missing(folder: Path) -> None:
    """Only the ledger tells the two apart."""
    comparison = await compared(folder, {day(0): "abc", day(2): "xyzw"})
    assert [each.data_date for each in comparison.differences] == [day(1)]


async def test_a_property_that_is_not_there_has_no_rows(folder: Path) -> None:
    comparison = await compared(folder, {}, others={day(0): "zz"})
    assert [each.rows for each in comparison.differences] == [0, 0, 0]
    assert days_stored(folder / "found.db", QUERY, DAYS) == 0
    assert days_stored(folder / "expected.db", QUERY, [day(1), day(2), day(9)]) == 2


async def test_a_file_that_is_no_database_is_refused(folder: Path) -> None:
    expected = await database(folder / "expected.db", CONTENT)
    with pytest.raises(UsageError, match="there is no database at"):
        Reference(expected, QUERY, DAYS).compare(folder / "missing.db")
