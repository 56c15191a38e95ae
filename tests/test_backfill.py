"""Whole runs into SQLite: the same database whatever the concurrency, and nothing fetched twice."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.model import Day, Halt, SearchAnalyticsQuery
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.summary import RunSummary
from gsc_trio.testing import (
    CutOff,
    FakeSearchConsole,
    Fault,
    Latency,
    MissingPart,
    Refuse,
    SimulatedProperty,
    open_streaming_transport,
    run_in_virtual_time,
    serve_fake_search_console,
)

T = TypeVar("T")

SITE = "sc-domain:example.com"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
DAYS = 10
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)


def day(number: int) -> dt.date:
    return END - dt.timedelta(days=number)


PROPERTY = SimulatedProperty(
    SITE, rows_per_day=6, rows_by_day={day(1): 45, day(2): 20, day(3): 0, day(7): 41}
)


@pytest.fixture(autouse=True, scope="module")
def _threads_on_the_loop() -> Iterator[None]:
    """Let the store work on the event loop, since virtual time does not see threads."""

    async def run_sync(function: Callable[..., T], *args: object, **_: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trio.to_thread.run_sync", run_sync)
        yield


async def run_into(
    path: Path,
    fake: FakeSearchConsole,
    *,
    query: SearchAnalyticsQuery = QUERY,
    days: int = DAYS,
    end: dt.date = END,
    on_complete: Callable[[Day], Halt | None] | None = None,
    **settings: Any,
) -> RunSummary:
    chosen = Settings(api_root="http://fake.example", **settings)
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(chosen, transport=transport) as client,
        open_sqlite_store(path) as store,
    ):
        return await backfill(
            client,
            query,
            store,
            start=day(days - 1),
            end=end,
            settings=chosen,
            on_complete=on_complete,
            today=TODAY,
        )


@pytest.fixture(scope="module")
def oracle_dump(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The database after a sequential run without faults, one query at a time."""
    path = tmp_path_factory.mktemp("oracle") / "oracle.db"

    async def run() -> None:
        await run_into(path, FakeSearchConsole([PROPERTY]), max_concurrency=1, batch_size=1)

    run_in_virtual_time(run)
    dump = comparable_dump(path)
    assert dump.count("INSERT INTO") > 100
    return dump


@given(
    max_concurrency=st.integers(1, 10),
    batch_size=st.integers(1, 12),
    seed=st.integers(0, 1_000),
    part_order=st.sampled_from(["sent", "reversed", "shuffled"]),
    max_waiting_bytes=st.sampled_from([1, 3_000, 1_000_000]),
    max_queue_size=st.sampled_from([1, 1_000]),
    fault=st.sampled_from([None, Refuse(503), CutOff(), MissingPart()]),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_the_database_is_byte_for_byte_the_same(
    oracle_dump: str,
    max_concurrency: int,
    batch_size: int,
    seed: int,
    part_order: str,
    max_waiting_bytes: int,
    max_queue_size: int,
    fault: Any,
) -> None:
    async def run(path: Path) -> None:
        fake = FakeSearchConsole(
            [PROPERTY],
            latency=Latency(jitter=0.9, seed=seed),
            part_order=part_order,
            faults=[Fault(fault, times=2, skip=seed % 4)] if fault else [],
        )
        summary = await run_into(
            path,
            fake,
            max_concurrency=max_concurrency,
            batch_size=batch_size,
            max_waiting_bytes=max_waiting_bytes,
            max_queue_size=max_queue_size,
        )
        assert (summary.status, summary.days) == ("complete", DAYS)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.db")
        run_in_virtual_time(run, path)
        assert comparable_dump(path) == oracle_dump


@given(
    max_concurrency=st.sampled_from([1, 3]),
    batch_size=st.sampled_from([1, 3, 50]),
    stops=st.lists(st.integers(0, DAYS - 1), max_size=3),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_a_halted_run_goes_on_where_it_stopped_and_fetches_nothing_twice(
    oracle_dump: str, max_concurrency: int, batch_size: int, stops: list[int]
) -> None:
    fake = FakeSearchConsole([PROPERTY], latency=Latency())

    async def run(path: Path, stop_after: int | None) -> RunSummary:
        def verdict(completed: Day) -> Halt | None:
            is_last = stop_after is not None and completed.data_date == day(stop_after)
            return Halt("stopped") if is_last else None

        return await run_into(
            path,
            fake,
            on_complete=verdict,
            max_concurrency=max_concurrency,
            batch_size=batch_size,
        )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.db")
        pages = 0
        for stop_after in [*stops, None]:
            pages += run_in_virtual_time(run, path, stop_after).pages
        assert comparable_dump(path) == oracle_dump
        assert pages == oracle_dump.count('INSERT INTO "page_ledger"')
        assert run_in_virtual_time(run, path, None).requests == 0


async def test_a_sequential_run_that_halts_keeps_all_that_was_answered(tmp_path: Path) -> None:
    summary = await run_into(
        tmp_path / "run.db",
        FakeSearchConsole([PROPERTY], part_order="reversed"),
        days=4,
        on_complete=lambda _: Halt("enough"),
        max_concurrency=1,
        batch_size=4,
    )
    assert (summary.status, summary.pages) == ("halted", 4)


async def test_a_second_backfill_fetches_only_what_is_missing(tmp_path: Path) -> None:
    path, fake = tmp_path / "run.db", FakeSearchConsole([PROPERTY])
    first = await run_into(path, fake, days=4)
    before = len(fake.calls)
    second = await run_into(path, fake, days=6)
    assert first.requests == before
    assert {call.data_date for call in fake.calls[before:]} == {str(day(4)), str(day(5))}
    assert (second.days, second.pages, second.requests) == (2, 2, 2)
    third = await run_into(path, fake, days=6)
    assert (third.status, third.requests, third.http_batches) == ("complete", 0, 0)


async def test_a_day_that_is_not_final_yet_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    fake = FakeSearchConsole([PROPERTY], last_final_day=END)
    first = await run_into(path, fake, days=1, end=dt.date(2026, 6, 19))
    assert (first.status, first.days, first.pages) == ("complete", 1, 1)
    assert first.reason == "not final yet and left out, to be fetched later: 2 days"
    later = FakeSearchConsole([PROPERTY])
    await run_into(path, later, days=1, end=dt.date(2026, 6, 19))
    assert {call.data_date for call in later.calls} == {"2026-06-19", "2026-06-18"}


async def test_fresh_data_is_replaced_by_final_data_and_not_the_other_way_round(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.db"
    fresh = SimulatedProperty(SITE, seed=7, rows_per_day=9)
    await run_into(path, FakeSearchConsole([fresh]), query=attrs.evolve(QUERY, data_state="all"))
    fake = FakeSearchConsole([PROPERTY])
    assert (await run_into(path, fake)).days == DAYS
    again = await run_into(path, fake, query=attrs.evolve(QUERY, data_state="all"))
    assert again.requests == 0
    other = tmp_path / "other.db"
    await run_into(other, FakeSearchConsole([PROPERTY]))
    assert comparable_dump(path) == comparable_dump(other)


@pytest.mark.parametrize("halts", [False, True])
@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_the_in_flight_registry_is_empty_after_a_run_and_names_jobs_during_it(
    tmp_path: Path, max_concurrency: int, halts: bool
) -> None:
    path = tmp_path / "run.db"
    in_flight: list[int] = []
    chosen = Settings(api_root="http://fake.example", batch_size=4, max_concurrency=max_concurrency)

    async def look(page: object) -> None:
        (coverage,) = await store.coverage()
        in_flight.append(coverage.in_flight)

    fake = FakeSearchConsole([PROPERTY])
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(chosen, transport=transport) as client,
        open_sqlite_store(path) as store,
    ):
        summary = await backfill(
            client,
            QUERY,
            store,
            start=day(9),
            end=END,
            settings=chosen,
            on_page=look,
            on_complete=lambda _: Halt("enough") if halts else None,
            today=TODAY,
        )
        (coverage,) = await store.coverage()
    assert summary.status == ("halted" if halts else "complete")
    assert (coverage.in_flight, coverage.in_flight_since) == (0, None)
    assert max(in_flight) > 1


async def test_it_works_over_a_real_socket(tmp_path: Path, oracle_dump: str) -> None:
    fake = FakeSearchConsole([PROPERTY], latency=Latency(scale=0.02))
    async with serve_fake_search_console(fake) as api_root:
        settings = Settings(api_root=api_root, batch_size=4)
        async with (
            open_search_console(settings) as client,
            open_sqlite_store(tmp_path / "run.db") as store,
        ):
            summary = await backfill(
                client, QUERY, store, start=day(9), end=END, settings=settings, today=TODAY
            )
    assert summary.status == "complete"
    assert comparable_dump(tmp_path / "run.db") == oracle_dump
