"""What is done of a page before its turn changes nothing but when it is done."""

from __future__ import annotations

import pytest

from gsc_trio.errors import StorageError
from gsc_trio.model import MAX_ROW_LIMIT, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.base import PreparesPages
from tests.store.databases import AnyStore, Reader
from tests.store.test_contract import NO_CHANGES, MakePage

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)


async def prepared(
    store: AnyStore, query: SearchAnalyticsQuery, page: Page
) -> tuple[list[Page | None], Page]:
    """The steps, and the page."""
    assert isinstance(store, PreparesPages)
    # Postgres' rows name their dataset: it is there as soon as a run begins.
    await store.begin_run(query, page.job.data_date, page.job.data_date)
    *steps, last = store.prepare_in_steps(query, page)
    assert last is not None
    return steps, last


PAGES = [
    [["a", "b", "c"], ["d"]],
    [["a", "b", "c"], ["c", "d"]],  # a row moved to the second page
    [["a", "a", "b"], []],
    [[Row(("ä\t\\N",), 0.0, 2.0**53, None), "", "\U0001f600"], ["x"]],
]


@pytest.mark.parametrize("pages", PAGES)
async def test_it_is_written_as_if_it_had_not_been(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
    pages: list[list[Row | str]],
) -> None:
    moved = []
    for day in (1, 2):
        for start_row, rows in zip((0, 3), pages, strict=True):
            page = make_page(day, start_row, rows)
            if day == 2:
                _, page = await prepared(store, query, page)
                assert page.prepared is not None
            moved.append(len(await store.write_pages(query, [page], NO_CHANGES) or ()))
    assert moved[:2] == moved[2:]
    columns = "row_number, query, clicks, impressions, sum_position"
    before, after = (
        reader.execute(
            f"SELECT {columns} FROM search_analytics_by_query WHERE data_date = '2024-01-0{day}' "
            "ORDER BY row_number"
        ).fetchall()
        for day in (1, 2)
    )
    assert before == after


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row(("a", "b")), "does not have 1 keys"),
        (Row(("\ud800",)), "surrogate"),
        (Row(("a",), float("inf")), "cannot write"),
        (Row(("a",), 1e300), "cannot write"),
    ],
)
async def test_what_is_wrong_with_rows_is_told_in_their_turn(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage, row: Row, words: str
) -> None:
    _, page = await prepared(store, query, make_page(1, rows=[row]))
    with pytest.raises(StorageError, match=words):
        await store.write_pages(query, [page], NO_CHANGES)


async def test_others_run_while_a_full_page_is_prepared(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    rows = [f"query {number}" for number in range(MAX_ROW_LIMIT)]
    page = make_page(1, rows=rows, row_limit=MAX_ROW_LIMIT)
    steps, _ = await prepared(store, query, page)
    assert len(steps) >= 5
    assert not any(steps)
