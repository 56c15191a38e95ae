"""What every store promises of pages: each is written whole, once, and nowhere else.

The same tests for an SQLite file and a Postgres database.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest
import trio
import trio.testing

from gsc_trio.errors import StorageError
from gsc_trio.model import InFlightChanges, Page, Row, SearchAnalyticsQuery
from gsc_trio.store import ledger
from gsc_trio.store.moved_days import TIMES_AGAIN
from gsc_trio.store.postgres import ledger as postgres_ledger
from tests.store.databases import AnyStore, Reader, content

MakePage = Callable[..., Page]

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)

NO_CHANGES = InFlightChanges()


def queries_of(reader: Reader, day: int = 1) -> list[str]:
    rows = reader.execute(
        "SELECT query FROM search_analytics_by_query "
        f"WHERE data_date = '2024-01-{day:02d}' ORDER BY query"
    ).fetchall()
    return [text for (text,) in rows]


def before_the_ledger_entry(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Call this in mid-transaction, after a page's rows."""
    for module in (ledger, postgres_ledger):
        record_page = module.record_page

        def act(*arguments: object, record_page: Callable[..., None] = record_page) -> None:
            action()
            record_page(*arguments)

        monkeypatch.setattr(module, "record_page", act)


async def test_a_page_is_there_with_its_rows_and_its_ledger_entry(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    await store.write_pages(
        query, [make_page(1, rows=[Row(("trio",), 3.0, 10.0, 2.5)])], NO_CHANGES
    )
    assert reader.execute("SELECT * FROM search_analytics_by_query").fetchall() == [
        (1, "2024-01-01", 0, "trio", 3, 10, 15.0)
    ]
    assert reader.execute(
        "SELECT dataset_id, data_date, start_row, row_limit, row_count, data_state FROM page_ledger"
    ).fetchall() == [(1, "2024-01-01", 0, 3, 1, "final")]


async def test_the_same_page_twice_leaves_what_one_write_leaves(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader
) -> None:
    before: object = None
    for page in (make_page(1, 0, ["a", "b", "c"]), make_page(1, 3, ["c", "d"])):
        for _ in range(2):
            await store.write_pages(query, [page], NO_CHANGES)
            once, before = before, content(reader)
        assert once == before


async def test_a_days_first_page_replaces_the_day(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    await store.write_pages(query, [make_page(1, 3, ["d"])], NO_CHANGES)
    await store.write_pages(query, [make_page(2, 0, ["other day"])], NO_CHANGES)
    await store.write_pages(query, [make_page(1, 0, ["b"])], NO_CHANGES)
    assert queries_of(reader, day=1) == ["b"]
    assert queries_of(reader, day=2) == ["other day"]
    assert reader.execute(
        "SELECT data_date, start_row, row_count FROM page_ledger ORDER BY data_date"
    ).fetchall() == [("2024-01-01", 0, 1), ("2024-01-02", 0, 1)]


async def test_a_row_that_moved_between_pages_is_there_once_as_the_later_page_has_it(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "moves"])], NO_CHANGES)
    await store.write_pages(
        query, [make_page(1, 3, [Row(("moves",), 7.0, 70.0, 1.0), "z"])], NO_CHANGES
    )
    assert reader.execute(
        "SELECT clicks, impressions, sum_position FROM search_analytics_by_query "
        "WHERE query = 'moves'"
    ).fetchall() == [(7, 70, 0.0)]
    assert queries_of(reader) == ["a", "b", "moves", "z"]


async def test_a_day_whose_rows_move_is_missing_until_it_was_fetched_again(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    day = dt.date(2024, 1, 1)
    first, second = make_page(1, 0, ["a", "b", "moves"]), make_page(1, 3, ["moves", "z"])
    for _ in range(TIMES_AGAIN):
        assert not await store.write_pages(query, [first], NO_CHANGES)
        assert await store.write_pages(query, [second], NO_CHANGES) == {day}
        assert day not in await store.begin_run(query, day, day)
    # In the end it is taken as it is.
    assert not await store.write_pages(query, [first, second], NO_CHANGES)
    assert (await store.begin_run(query, day, day))[day].is_complete


async def test_a_day_in_doubt_is_missing_until_it_was_fetched_again(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    first, other = dt.date(2024, 1, 1), dt.date(2024, 1, 2)
    await store.write_pages(query, [make_page(1, 0, ["a"]), make_page(2, 0, ["a"])], NO_CHANGES)
    await store.doubt(query, [first])
    assert set(await store.begin_run(query, first, other)) == {other}
    await store.write_pages(query, [make_page(1, 0, ["a"])], NO_CHANGES)
    assert set(await store.begin_run(query, first, other)) == {first, other}


async def test_datasets_do_not_share_rows(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    mine = SearchAnalyticsQuery("https://example.com/", dimensions=("query",))
    others = [
        SearchAnalyticsQuery("https://example.org/", dimensions=("query",)),
        SearchAnalyticsQuery("https://example.com/", "image", dimensions=("query",)),
        SearchAnalyticsQuery("https://example.com/", dimensions=("page",)),
    ]
    for other in others:
        await store.write_pages(other, [make_page(1, rows=["theirs"])], NO_CHANGES)
    await store.write_pages(mine, [make_page(1, rows=["mine"])], NO_CHANGES)
    await store.write_pages(mine, [make_page(1)], NO_CHANGES)
    assert reader.execute(
        "SELECT site_url, search_type, dimensions, clicks FROM searchdata_site_impression "
        "UNION ALL SELECT site_url, search_type, dimensions, clicks FROM searchdata_url_impression"
    ).fetchall() == [
        ("https://example.org/", "web", "query", 1),
        ("https://example.com/", "image", "query", 1),
        ("https://example.com/", "web", "page", 1),
    ]


async def test_the_data_state_does_not_make_another_dataset(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    for data_state in ("all", "final"):
        query = SearchAnalyticsQuery(
            "https://example.com/", dimensions=("query",), data_state=data_state
        )
        await store.write_pages(query, [make_page(1, rows=[data_state])], NO_CHANGES)
    assert queries_of(reader) == ["final"]


async def test_hostile_names_and_texts_are_stored_as_they_are(
    store: AnyStore, make_page: MakePage, reader: Reader
) -> None:
    site = """sc-domain:x');DROP/**/TABLE"dataset;--%s😀""".replace("/", "")
    texts = sorted(["'; DROP TABLE dataset; --", '"quoted"', "new\nline", "🦊", "tab\t", "\\N", ""])
    query = SearchAnalyticsQuery(site, dimensions=("query",))
    await store.write_pages(query, [make_page(1, rows=texts, row_limit=100)], NO_CHANGES)
    assert queries_of(reader) == texts
    assert [coverage.site_url for coverage in await store.coverage()] == [site]


@pytest.mark.parametrize("dimensions", [("query",), ("page", "query", "country", "device"), ()])
async def test_pages_of_every_size_are_complete(
    store: AnyStore,
    make_page: MakePage,
    reader: Reader,
    dimensions: tuple[str, ...],
) -> None:
    query = SearchAnalyticsQuery("https://example.com/", dimensions=dimensions)
    for row_count in (0, 1, 7, 4_095, 4_096, 4_097, 25_000) if dimensions else (0, 1):
        rows = [
            Row(tuple(f"{name} {index}" for name in dimensions), 1.0, 2.0, float(index))
            for index in range(row_count)
        ]
        await store.write_pages(query, [make_page(1, rows=rows, row_limit=25_000)], NO_CHANGES)
        [coverage] = await store.coverage()
        assert coverage.rows == row_count
        name = "_".join(dimensions) or "date"
        assert reader.execute(
            f"SELECT count(*), coalesce(sum(sum_position), 0) FROM search_analytics_by_{name}"
        ).fetchone() == (row_count, sum((index - 1) * 2 for index in range(row_count)))


async def test_a_failure_in_mid_transaction_leaves_nothing_and_the_store_usable(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    before = content(reader)

    def fail() -> None:
        raise ValueError

    before_the_ledger_entry(monkeypatch, fail)
    for page in (make_page(1, 0, ["new"]), make_page(1, 3, ["d"]), make_page(2, 0, ["e"])):
        with pytest.raises(StorageError, match=r"cannot write .*(search\.db|postgresql://)"):
            await store.write_pages(query, [page], NO_CHANGES)
        assert content(reader) == before
    monkeypatch.undo()
    await store.write_pages(query, [make_page(1, 3, ["d"])], NO_CHANGES)
    [coverage] = await store.coverage()
    assert coverage.rows == 4


async def test_a_first_page_that_fails_leaves_nothing(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader
) -> None:
    with pytest.raises(StorageError, match="does not have 1 keys"):
        await store.write_pages(query, [make_page(1, rows=[Row(("a", "b"))])], NO_CHANGES)
    assert await store.coverage() == []
    assert content(reader) == {}
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    assert queries_of(reader) == ["a"]


@pytest.mark.parametrize(
    "row",
    [
        Row(("lone surrogate \ud800",), 1.0, 1.0),
        Row(("too large",), 1e30, 1.0),
        Row(("no number",), float("nan"), 1.0),
    ],
)
async def test_a_value_that_no_column_can_hold_is_a_storage_error(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader, row: Row
) -> None:
    before = content(reader)
    with pytest.raises(StorageError, match="a value cannot be stored"):
        await store.write_pages(query, [make_page(1, rows=["fine", row])], NO_CHANGES)
    assert content(reader) == before


async def test_rows_whose_keys_even_out_are_refused(store: AnyStore, make_page: MakePage) -> None:
    query = SearchAnalyticsQuery("https://example.com/", dimensions=("page", "query"))
    rows = [Row(("a",)), Row(("b", "c", "d"))]
    with pytest.raises(StorageError, match="does not have 2 keys"):
        await store.write_pages(query, [make_page(1, rows=rows)], NO_CHANGES)


async def test_a_write_that_is_cancelled_halfway_is_finished(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        halfway.set()
        go_on.wait(timeout=10)

    before_the_ledger_entry(monkeypatch, wait)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.write_pages, query, [make_page(1, rows=["a"])], NO_CHANGES)
            await trio.to_thread.run_sync(halfway.wait, 10)
            scope.cancel()
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            go_on.set()
    assert queries_of(reader) == ["a"]
    assert reader.execute("SELECT row_count FROM page_ledger").fetchall() == [(1,)]


async def test_a_write_that_is_cancelled_before_it_begins_does_nothing(
    store: AnyStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader
) -> None:
    before = content(reader)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    assert scope.cancelled_caught
    assert content(reader) == before


async def test_others_can_read_while_a_page_is_written(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await store.write_pages(query, [make_page(1, 0, ["a", "b", "c"])], NO_CHANGES)
    halfway, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        halfway.set()
        go_on.wait(timeout=10)

    before_the_ledger_entry(monkeypatch, wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.write_pages, query, [make_page(1, 3, ["d"])], NO_CHANGES)
        await trio.to_thread.run_sync(halfway.wait, 10)
        reader.execute("BEGIN")
        assert queries_of(reader) == ["a", "b", "c"]
        go_on.set()
    assert queries_of(reader) == ["a", "b", "c"]
    reader.execute("COMMIT")
    assert queries_of(reader) == ["a", "b", "c", "d"]


async def test_tasks_that_write_at_once_take_turns(
    store: AnyStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
) -> None:
    async with trio.open_nursery() as nursery:
        for day in range(1, 21):
            nursery.start_soon(store.write_pages, query, [make_page(day, rows=["a"])], NO_CHANGES)
    assert reader.execute("SELECT count(*) FROM page_ledger").fetchone() == (20,)
