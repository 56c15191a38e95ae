"""A cassette behind the fake Search Console: the same run as against what it was recorded from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing

from gsc_trio import (
    Page,
    SearchAnalyticsQuery,
    Settings,
    backfill,
    fetch_all,
    open_search_console,
    open_sqlite_store,
)
from gsc_trio.model import Job
from gsc_trio.store.dump import comparable_dump
from gsc_trio.testing import (
    BadJson,
    CutOff,
    FakeSearchConsole,
    Fault,
    Latency,
    SeenCall,
    SimulatedProperty,
    open_streaming_transport,
    record_simulated,
    recorded_properties,
    serve_fake_search_console,
)
from gsc_trio.testing.cassette import request_for
from gsc_trio.wire.query import encode_query

SITE = "sc-domain:example.com"
END = dt.date(2026, 3, 4)
START = END - dt.timedelta(days=5)
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)
SIMULATED = SimulatedProperty(SITE, seed=3, rows_per_day=30)
CASSETTE = record_simulated(SIMULATED, start=START, end=END, query=QUERY)
PATH = "/webmasters/v3/sites/sc-domain%3Aexample.com/searchAnalytics/query"


def replaying(**options: Any) -> FakeSearchConsole:
    return FakeSearchConsole(recorded_properties(CASSETTE), **options)


async def dump_of(fake: FakeSearchConsole, path: Path, **settings: Any) -> str:
    async with (
        serve_fake_search_console(fake) as api_root,
        open_search_console(Settings(api_root=api_root, **settings)) as client,
        open_sqlite_store(path) as store,
    ):
        summary = await backfill(client, QUERY, store, start=START, end=END, today=END)
    assert summary.status == "complete", summary
    return comparable_dump(path)


@pytest.mark.parametrize("settings", [{"max_concurrency": 1, "batch_size": 1}, {"batch_size": 4}])
async def test_it_fills_a_database_as_the_simulator_does(
    tmp_path: Path, settings: dict[str, int]
) -> None:
    simulated = await dump_of(FakeSearchConsole([SIMULATED]), tmp_path / "a.db", **settings)
    assert await dump_of(replaying(), tmp_path / "b.db", **settings) == simulated


async def test_faults_and_latency_are_as_with_the_simulator(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    settings = Settings(max_concurrency=1, batch_size=3, retry_initial_seconds=0)

    async def run(make: Callable[..., FakeSearchConsole]) -> tuple[list[Page], list[SeenCall]]:
        fake = make(faults=[Fault(CutOff(), skip=2), Fault(BadJson(), skip=4)], latency=Latency())
        pages: list[Page] = []
        async with (
            open_streaming_transport(fake) as transport,
            open_search_console(settings, transport=transport) as client,
        ):
            await fetch_all(client, QUERY, start=START, end=END, today=END, on_page=pages.append)
        return pages, fake.calls

    pages, calls = await run(replaying)
    simulated_pages, simulated_calls = await run(partial(FakeSearchConsole, [SIMULATED]))
    assert pages == simulated_pages
    began, simulated_began = calls[0].time, simulated_calls[0].time
    assert [attrs.evolve(call, time=round(call.time - began, 6)) for call in calls] == [
        attrs.evolve(call, time=round(call.time - simulated_began, 6)) for call in simulated_calls
    ]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("pretty", [True, False])
async def test_it_answers_in_the_encoding_and_the_layout_that_are_asked_for(
    encoding: str, pretty: bool
) -> None:
    body = {
        "startDate": str(END), "endDate": str(END), "dimensions": ["page", "query"], "rowLimit": 20,
    }  # fmt: skip
    path = PATH if pretty else f"{PATH}?prettyPrint=false"
    headers = {"Accept-Encoding": encoding}

    async def ask(fake: FakeSearchConsole) -> httpx.Response:
        async with (
            serve_fake_search_console(fake) as api_root,
            httpx.AsyncClient(base_url=api_root, headers=headers) as http,
        ):
            return await http.post(path, json=body)

    answer, simulated = await ask(replaying()), await ask(FakeSearchConsole([SIMULATED]))
    assert answer.content == simulated.content
    assert answer.headers.get("Content-Encoding") == simulated.headers.get("Content-Encoding")
    assert answer.headers["Content-Type"] == simulated.headers["Content-Type"]


async def test_bodies_are_sent_as_they_lie_in_the_cassette() -> None:
    request = request_for(QUERY, END, 0)
    content = encode_query(QUERY, Job(END))
    async with (
        serve_fake_search_console(replaying()) as api_root,
        httpx.AsyncClient(base_url=api_root, headers={"Accept-Encoding": "gzip"}) as http,
        http.stream("POST", f"{PATH}?prettyPrint=false", content=content) as answer,
    ):
        sent = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert sent == CASSETTE.answers[request].body.as_gzip()


async def test_what_was_not_recorded_is_refused_in_a_line_that_says_what() -> None:
    async with (
        open_streaming_transport(replaying()) as transport,
        open_search_console(Settings(), transport=transport) as client,
    ):
        query = SearchAnalyticsQuery(SITE)
        summary = await fetch_all(client, query, start=END, end=END, today=END)
    assert summary.status == "failed"
    assert "The cassette has no answer for 2026-03-04" in summary.reason
    assert "25000 rows from row 0" in summary.reason


async def test_a_slow_reader_delays_no_work_on_the_parts_that_follow(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = replaying(latency=Latency(seconds_per_row=0))
    sent_at = []

    async def read_slowly(scope: Any, receive: Any, send: Any) -> None:
        async def send_slowly(message: Any) -> None:
            sent_at.append(trio.current_time())
            await trio.sleep(0.2)
            await send(message)

        await fake(scope, receive, send_slowly)

    async with (
        open_streaming_transport(read_slowly) as transport,
        open_search_console(Settings(), transport=transport) as client,
    ):
        began = trio.current_time()
        jobs = [Job(END - dt.timedelta(days=back)) for back in range(3)]
        async with client.query_batch(QUERY, jobs) as answers:
            assert [type(answer) async for answer in answers] == [Page] * 3
    # The head of the answer takes 0.2 s to be read, each part too; work on parts goes on.
    assert [time - began for time in sent_at[1:4]] == pytest.approx([0.55, 0.90, 1.25])
