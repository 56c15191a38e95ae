"""A folder of Parquet files keeps a store's promises, whenever its process dies."""

from __future__ import annotations

import datetime as dt
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet as pq
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gsc_trio.errors import DatabaseInUseError, StorageError, UsageError
from gsc_trio.export.dataset import StoredRow, read_datasets, read_day
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.base import StoredDay
from gsc_trio.store.connection import open_connection
from gsc_trio.store.parquet import ParquetStore, ledger_of, open_parquet_store
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()
START, END = dt.date(2024, 1, 1), dt.date(2024, 1, 31)
ROW_LIMIT = 3
QUERY = SearchAnalyticsQuery("sc-domain:example.com", dimensions=("query",), row_limit=ROW_LIMIT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "search-console"


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder where syncing takes no time, if there is one: it is done thousands of times."""
    place = Path("/dev/shm")  # a folder with a random name in it
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
async def parquet_store(folder: Path) -> AsyncIterator[ParquetStore]:
    async with open_parquet_store(folder) as opened:
        yield opened


def day(number: int) -> dt.date:
    return dt.date(2024, 1, number)


def paths_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("search_analytics_by_*/**/*.parquet"))


def files(folder: Path) -> dict[str, list[StoredRow]]:
    """What a reader of the folder sees: the rows of each day's file."""
    found = {}
    for path in paths_in(folder):
        columns = pq.ParquetFile(path).read().columns
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        found[path.parent.name.removeprefix("data_date=")] = list(rows)
    return found


def queries_in(folder: Path) -> dict[str, list[object]]:
    return {name: [row[0] for row in rows] for name, rows in files(folder).items()}


def complete_days(database: Path) -> dict[str, list[StoredRow]]:
    """The same of a SQLite database."""
    with closing(open_connection(database, create=False, read_only=True)) as connection:
        days = {}
        for dataset in read_datasets(connection):
            for number in range(1, 32):
                content = read_day(connection, dataset, day(number))
                if content is not None:
                    days[str(day(number))] = content.rows
        return days


def rows_waiting(folder: Path) -> int:
    """Rows that are kept in the folder's database."""
    with closing(open_connection(ledger_of(folder), create=False, read_only=True)) as connection:
        [count] = connection.execute("SELECT count(*) FROM search_analytics_by_query").fetchone()
        return int(count)


def page_of(number: int, start_row: int, keys: str, *, clicks: int = 1) -> Page:
    rows = [Row((key,), float(clicks), 2.0, 3.5) for key in keys]
    return Page(Job(day(number), start_row), rows, ROW_LIMIT, 100)


async def test_a_day_appears_when_its_last_page_is_there(
    parquet_store: ParquetStore, folder: Path
) -> None:
    await parquet_store.write_pages(QUERY, [page_of(1, 0, "abc"), page_of(2, 0, "x")], NO_CHANGES)
    assert queries_in(folder) == {"2024-01-02": ["x"]}
    assert rows_waiting(folder) == 3
    await parquet_store.write_pages(QUERY, [page_of(1, 3, "de")], NO_CHANGES)
    assert queries_in(folder) == {"2024-01-01": ["a", "b", "c", "d", "e"], "2024-01-02": ["x"]}
    assert rows_waiting(folder) == 0


async def test_a_day_without_rows_is_an_empty_file(
    parquet_store: ParquetStore, folder: Path
) -> None:
    await parquet_store.write_pages(QUERY, [page_of(1, 0, "")], NO_CHANGES)
    assert files(folder) == {"2024-01-01": []}


async def test_readers_see_the_old_day_until_the_new_one_is_complete(
    parquet_store: ParquetStore, folder: Path
) -> None:
    await parquet_store.write_pages(QUERY, [page_of(1, 0, "old"[:2])], NO_CHANGES)
    await parquet_store.write_pages(QUERY, [page_of(1, 0, "new")], NO_CHANGES)
    assert queries_in(folder) == {"2024-01-01": ["o", "l"]}
    stored = await parquet_store.begin_run(QUERY, START, END)
    assert stored == {day(1): StoredDay(3, is_complete=False)}
    await parquet_store.write_pages(QUERY, [page_of(1, 3, "s")], NO_CHANGES)
    assert queries_in(folder) == {"2024-01-01": ["n", "e", "w", "s"]}


async def test_datasets_do_not_share_files(parquet_store: ParquetStore, folder: Path) -> None:
    others = [
        attrs.evolve(QUERY, site_url="https://example.com/a%20b/ü/"),
        attrs.evolve(QUERY, search_type="image"),
        attrs.evolve(QUERY, dimensions=("page",)),
        attrs.evolve(QUERY, dimensions=()),
    ]
    for query in (QUERY, *others):
        rows = [Row(query.dimensions, 1.0, 2.0, 3.0)]
        await parquet_store.write_pages(query, [Page(Job(day(1)), rows, 3, 1)], NO_CHANGES)
    found = sorted(str(path.relative_to(folder)) for path in paths_in(folder))
    tail = "data_date=2024-01-01/rows.parquet"
    domain = "site_url=sc-domain%3Aexample.com"
    assert found == sorted(
        [
            f"search_analytics_by_date/{domain}/search_type=web/{tail}",
            f"search_analytics_by_page/{domain}/search_type=web/{tail}",
            f"search_analytics_by_query/{domain}/search_type=image/{tail}",
            f"search_analytics_by_query/{domain}/search_type=web/{tail}",
            "search_analytics_by_query/site_url=https%3A%2F%2Fexample.com%2Fa%2520b%2Fü%2F/"
            f"search_type=web/{tail}",
        ]
    )


# Whatever is written, and in whatever order: what an SQLite database would hold.

written_pages = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.sampled_from([0, 3, 6]),
        st.text("abcdefgh", max_size=3),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(written_pages, min_size=1, max_size=3))
def test_complete_days_are_those_of_an_sqlite_database(
    memory: Path, runs: list[list[tuple[int, int, str, int]]]
) -> None:
    """Pages that repeat, overlap, shrink a day, come out of order, or after it was published."""
    root = Path(tempfile.mkdtemp(dir=memory))
    folder, database = root / "folder", root / "search.db"

    async def write() -> None:
        for pages in runs:
            async with open_parquet_store(folder) as store, open_sqlite_store(database) as expected:
                for number, start_row, keys, clicks in pages:
                    page = page_of(number, start_row, keys, clicks=clicks)
                    await expected.write_pages(QUERY, [page], NO_CHANGES)
                    await store.write_pages(QUERY, [page], NO_CHANGES)
                    assert await store.coverage() == await expected.coverage()

    trio.run(write)
    published, expected = files(folder), complete_days(database)
    # A day that was complete once stays to be seen until it is complete again.
    assert {name: published[name] for name in expected} == expected


# Death at every step.


class DiedError(BaseException):
    """What kills a process, as far as the disk can tell: nothing is done any more."""


@attrs.define
class Steps:
    """Counts everything that changes the disk or may fail, and dies at a step."""

    die_at: int | None = None
    count: int = 0

    def step(self) -> None:
        if self.die_at is not None and self.count >= self.die_at:
            raise DiedError
        self.count += 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Before each transaction, and before each thing that is done to a file."""
    steps = Steps()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def instead(*args: Any, **options: Any) -> Any:
            steps.step()
            return original(*args, **options)

        monkeypatch.setattr(owner, name, instead)

    count(SqliteStore, "_transact")
    count(Path, "replace")
    count(Path, "mkdir")
    count(os, "fsync")
    count(pq, "write_table")
    return steps


@contextmanager
def died_in_between() -> Iterator[None]:
    has_died = False
    try:
        yield
    except* DiedError:
        has_died = True
    assert has_died


LIVES = [
    [page_of(1, 0, "abc"), page_of(2, 0, "x")],
    [page_of(1, 3, "de"), page_of(2, 0, "yzw", clicks=2), page_of(2, 3, "v", clicks=2)],
]
"""The second fetches a day again."""


async def go_on(folder: Path) -> None:
    """What a run does: it asks what is missing of the plan, and writes that."""
    for pages in LIVES:
        async with open_parquet_store(folder) as store:
            stored = await store.begin_run(QUERY, START, END)
            for page in pages:
                what = stored.get(page.job.data_date)
                is_newer = page.rows and page.rows[0].clicks == 2
                if is_newer or what is None or what.rows < page.job.start_row + len(page.rows):
                    await store.write_pages(QUERY, [page], NO_CHANGES)


def test_whenever_a_process_dies_the_next_one_ends_with_the_same_files(
    memory: Path, steps: Steps
) -> None:
    trio.run(go_on, memory / "oracle")
    expected, all_steps = files(memory / "oracle"), steps.count
    assert all_steps > 40
    versions = [*expected.values(), [("x", 1, 2, 5.0)]]
    for die_at in range(all_steps):
        folder = memory / str(die_at)
        steps.die_at, steps.count = die_at, 0
        with died_in_between():
            trio.run(go_on, folder)
        assert all(rows in versions for rows in files(folder).values())
        steps.die_at = None
        trio.run(go_on, folder)
        assert files(folder) == expected
        assert rows_waiting(folder) == 0


async def test_a_day_whose_file_was_removed_or_changed_is_fetched_again(
    folder: Path, parquet_store: ParquetStore
) -> None:
    pages = [page_of(number, 0, "a") for number in (1, 2, 3)] + [page_of(4, 0, "")]
    await parquet_store.write_pages(QUERY, pages, NO_CHANGES)
    removed, changed, _, empty = paths_in(folder)
    removed.unlink()
    empty.unlink()
    changed.write_bytes(b"PAR1 no more")
    stored = await parquet_store.begin_run(QUERY, START, END)
    assert stored == {
        day(3): StoredDay(1, is_complete=True),
        day(4): StoredDay(0, is_complete=True),
    }
    [coverage] = await parquet_store.coverage()
    assert (coverage.days_complete, coverage.first_day) == (2, day(3))
    await parquet_store.write_pages(QUERY, pages[:2], NO_CHANGES)
    assert queries_in(folder) == {
        "2024-01-01": ["a"],
        "2024-01-02": ["a"],
        "2024-01-03": ["a"],
        "2024-01-04": [],
    }


async def test_a_page_of_a_day_whose_file_was_removed_does_not_pass_for_the_day(
    folder: Path, parquet_store: ParquetStore
) -> None:
    await parquet_store.write_pages(QUERY, [page_of(1, 0, "abc"), page_of(1, 3, "d")], NO_CHANGES)
    [path] = paths_in(folder)
    path.unlink()
    await parquet_store.write_pages(QUERY, [page_of(1, 3, "d")], NO_CHANGES)
    assert paths_in(folder) == []
    assert await parquet_store.begin_run(QUERY, START, END) == {}


async def test_a_full_disk_loses_nothing(
    folder: Path, parquet_store: ParquetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", fail)
        with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
            await parquet_store.write_pages(QUERY, [page_of(1, 0, "ab")], NO_CHANGES)
    assert await parquet_store.begin_run(QUERY, START, END) == {
        day(1): StoredDay(2, is_complete=True)
    }
    assert queries_in(folder) == {"2024-01-01": ["a", "b"]}


async def test_one_writer_a_folder(folder: Path, parquet_store: ParquetStore) -> None:
    with pytest.raises(DatabaseInUseError, match="in use by process"):
        async with open_parquet_store(folder):
            pass


def test_what_is_not_such_a_folder_is_left_as_it_is(tmp_path: Path) -> None:
    async def open_and_close(folder: Path) -> None:
        async with open_parquet_store(folder):
            pass

    diary, photos, export = tmp_path / "diary", tmp_path / "photos", tmp_path / "export"
    diary.write_text("Dear diary")
    photos.mkdir()
    (photos / "1.jpg").write_text("")
    (export / "_gsc_trio").mkdir(parents=True)
    (export / "search_analytics_by_query").mkdir()
    before = sorted(tmp_path.rglob("*"))
    for folder, message in (
        (diary, "is a file: name a folder"),
        (photos, "holds files that no backfill wrote"),
        (export, "holds files that no backfill wrote"),
        (tmp_path / "no" / "folder", "does not exist"),
    ):
        with pytest.raises(UsageError, match=message):
            trio.run(open_and_close, folder)
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_property_that_no_folder_can_be_named_after_is_refused_at_once(
    parquet_store: ParquetStore,
) -> None:
    query = attrs.evolve(QUERY, site_url=f"https://example.com/{'long/' * 50}")
    with pytest.raises(UsageError, match="too long for a folder's name"):
        await parquet_store.begin_run(query, START, END)
