"""Every fault, over real sockets into a real file, for the sequential path and for many workers.

A cell ends complete with the oracle's database, or halted with the right message and then, when
the cause is gone, complete with the oracle's database.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.summary import RunSummary
from gsc_trio.testing import (
    BadGzip,
    BadJson,
    CutOff,
    DoubledPart,
    Drip,
    FakeSearchConsole,
    Fault,
    HtmlPage,
    Latency,
    MissingPart,
    Refuse,
    Reset,
    ShiftedRows,
    Silence,
    SimulatedProperty,
    Stall,
    Truncate,
    UnknownPart,
    open_faulty_proxy,
    serve_fake_search_console,
)
from gsc_trio.testing.faults import Action
from gsc_trio.testing.network_faults import NetworkFault

SITE = "sc-domain:example.com"
TODAY = dt.date(2026, 6, 20)
END = dt.date(2026, 6, 17)
DAYS = 12
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)
LONG_DAY = END - dt.timedelta(days=4)
QUICK: dict[str, Any] = {
    "batch_size": 4,
    "retry_initial_seconds": 0.01,
    "retry_maximum_seconds": 0.02,
    "load_quota_pause_seconds": 0.1,
    "read_timeout_seconds": 0.4,
}

TOO_FAST = Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded.")
TOO_MANY = Refuse(429, "rateLimitExceeded", "Rate Limit Exceeded", retry_after="0.2")
LOAD_QUOTA = Refuse(403, "quotaExceeded", "Search Analytics load quota exceeded.")
DAILY_LIMIT = Refuse(403, "dailyLimitExceeded", "Daily Limit Exceeded")
FORBIDDEN = Refuse(403, "forbidden", "User does not have sufficient permission for site.")
UNAUTHENTICATED = Refuse(401, "authError", "Invalid Credentials")
BAD_REQUEST = Refuse(400, "invalidParameter", "Invalid value at 'type'.")

each_concurrency = pytest.mark.parametrize("max_concurrency", [1, 3, 10])


def fake_search_console(faults: Iterable[Fault] = (), **options: Any) -> FakeSearchConsole:
    rows_by_day = {LONG_DAY: 65, END: 40, END - dt.timedelta(days=1): 0}
    simulated = SimulatedProperty(SITE, rows_per_day=9, rows_by_day=rows_by_day)
    return FakeSearchConsole([simulated], faults=faults, **options)


async def run(
    path: Path,
    fake: FakeSearchConsole,
    max_concurrency: int,
    *,
    network: Callable[[], NetworkFault | None] = lambda: None,
    **settings: Any,
) -> RunSummary:
    """A run over a socket, through the proxy."""
    with trio.fail_after(30):
        async with (
            serve_fake_search_console(fake) as address,
            open_faulty_proxy(address, network) as api_root,
            open_sqlite_store(path) as store,
            open_search_console(
                Settings(
                    api_root=api_root, max_concurrency=max_concurrency, **{**QUICK, **settings}
                )
            ) as client,
        ):
            return await backfill(
                client,
                QUERY,
                store,
                start=END - dt.timedelta(days=DAYS - 1),
                end=END,
                today=TODAY,
            )


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("oracle") / "search.db"
    summary = trio.run(run, path, fake_search_console(), 1)
    assert (summary.status, summary.pages) == ("complete", DAYS + 3 + 2)
    return comparable_dump(path)


def pages_of(fake: FakeSearchConsole) -> set[tuple[str, int]]:
    return {(call.data_date, call.start_row) for call in fake.calls}


PARTS: dict[str, Action] = {
    "bad JSON": BadJson(),
    "missing": MissingPart(),
    "doubled": DoubledPart(),
    "of another batch": UnknownPart(),
    "HTML": HtmlPage(),
    "500": Refuse(500),
    "503": Refuse(503),
    "503 with Retry-After": Refuse(503, retry_after="0.1"),
    "too fast": TOO_FAST,
    "429": TOO_MANY,
    "load quota": LOAD_QUOTA,
    "late": Stall(0.1),
    "too late": Stall(0.6),
    "cut off": CutOff(),
}

WHOLE: dict[str, Action] = {
    "HTML": HtmlPage(),
    "500": Refuse(500),
    "503 with Retry-After": Refuse(503, retry_after="0.1"),
    "too fast": TOO_FAST,
    "bad gzip": BadGzip(),
    "late": Stall(0.1),
    "too late": Stall(0.6),
    "cut off": CutOff(),
}

NETWORK: dict[str, NetworkFault] = {
    "reset before the first byte": Reset(0),
    "reset after the first byte": Reset(1),
    "reset in the headers": Reset(60),
    "reset in the body": Reset(400),
    "reset in a later part": Reset(500),
    "cut before the first byte": Truncate(0),
    "cut in the headers": Truncate(60),
    "cut in the body": Truncate(400),
    "cut in a later part": Truncate(500),
    "silence at once": Silence(0),
    "silence in the body": Silence(400),
    "slow drip": Drip(bytes_per_piece=37, seconds_between=0.002),
}


async def assert_cured(
    path: Path, oracle: str, summary: RunSummary, fake: FakeSearchConsole
) -> None:
    assert (summary.status, summary.reason) == ("complete", "")
    assert comparable_dump(path) == oracle
    assert summary.pages == DAYS + 3 + 2
    assert len(fake.calls) <= summary.requests


@each_concurrency
@pytest.mark.parametrize("name", PARTS)
async def test_parts_that_go_wrong_are_asked_for_again(
    tmp_path: Path, oracle: str, name: str, max_concurrency: int
) -> None:
    times = 1 if name in {"load quota", "too late"} else 4
    fake = fake_search_console([Fault(PARTS[name], times=times, skip=2)])
    summary = await run(tmp_path / "search.db", fake, max_concurrency)
    await assert_cured(tmp_path / "search.db", oracle, summary, fake)
    assert sum(call.fault is not None for call in fake.calls) == times


@each_concurrency
@pytest.mark.parametrize("name", WHOLE)
async def test_requests_that_go_wrong_are_sent_again(
    tmp_path: Path, oracle: str, name: str, max_concurrency: int
) -> None:
    fault = Fault(WHOLE[name], times=2, skip=1, whole_request=True)
    fake = fake_search_console([fault])
    summary = await run(tmp_path / "search.db", fake, max_concurrency)
    await assert_cured(tmp_path / "search.db", oracle, summary, fake)
    assert fault.times == 0


@each_concurrency
@pytest.mark.parametrize("name", NETWORK)
async def test_answers_that_are_lost_on_the_way_are_asked_for_again(
    tmp_path: Path, oracle: str, name: str, max_concurrency: int
) -> None:
    script = [None, NETWORK[name], NETWORK[name], None, NETWORK[name]]
    fake = fake_search_console()
    summary = await run(
        tmp_path / "search.db",
        fake,
        max_concurrency,
        network=lambda: script.pop(0) if script else None,
    )
    await assert_cured(tmp_path / "search.db", oracle, summary, fake)
    assert len(script) <= 1  # sequentially there are few answers
    assert summary.retries > 0 or isinstance(NETWORK[name], Drip)


@each_concurrency
@pytest.mark.parametrize("part_order", ["reversed", "shuffled"])
@pytest.mark.parametrize("line_break", [b"\r\n", b"\n"])
async def test_the_order_of_parts_and_their_line_breaks_do_not_matter(
    tmp_path: Path, oracle: str, part_order: str, line_break: bytes, max_concurrency: int
) -> None:
    latency = Latency(seconds_per_call=0.005, jitter=1.0)
    fake = fake_search_console(part_order=part_order, line_break=line_break, latency=latency)
    summary = await run(tmp_path / "search.db", fake, max_concurrency)
    await assert_cured(tmp_path / "search.db", oracle, summary, fake)
    assert summary.retries == 0


@attrs.frozen
class Ending:
    """How a run ends that cannot go on."""

    faults: Sequence[Fault]
    status: str
    words: Sequence[str]
    settings: dict[str, Any] = attrs.field(factory=dict)


def endless(action: Action) -> list[Fault]:
    return [Fault(action, times=None, data_date=LONG_DAY, start_row=20)]


PLACE = f"{SITE}, {LONG_DAY} from row 20: "
ENDINGS = {
    "401": Ending(
        endless(UNAUTHENTICATED),
        "failed",
        [f"{PLACE}Google refused: Invalid Credentials (401 authError); get a new access token"],
    ),
    "403": Ending(
        endless(FORBIDDEN),
        "failed",
        [
            f"{PLACE}Google refused: User does not have sufficient permission for site. "
            "(403 forbidden); check the property's name, and that this account may see it"
        ],
    ),
    "400": Ending(endless(BAD_REQUEST), "failed", [f"{PLACE}Google refused: Invalid value at "]),
    "daily limit": Ending(
        endless(DAILY_LIMIT), "failed", [f"{PLACE}Google refused: Daily Limit Exceeded"]
    ),
    "load quota": Ending(
        endless(LOAD_QUOTA),
        "halted",
        [f"{SITE}: the load quota is still used up after a pause of 0.1 seconds", "tomorrow"],
    ),
    "503": Ending(
        endless(Refuse(503)),
        "failed",
        [f"{PLACE}gave up after too many failed requests (retry_budget 2)", "Backend Error (503"],
        {"retry_budget": 2},
    ),
    "HTML": Ending(
        endless(HtmlPage(502)),
        "failed",
        [f"{PLACE}gave up after too many failed requests", "Bad Gateway, without an explanation"],
        {"retry_budget": 2},
    ),
    "bad JSON": Ending(
        endless(BadJson()),
        "failed",
        [f"{PLACE}gave up after too many failed requests", "the answer is not a query response"],
        {"retry_budget": 2},
    ),
    "bad gzip": Ending(
        [Fault(BadGzip(), times=None, whole_request=True)],
        "failed",
        [SITE, "gave up after too many failed requests", "cannot be decompressed"],
        {"retry_budget": 2},
    ),
}


async def assert_goes_on(path: Path, oracle: str, failed: RunSummary, max_concurrency: int) -> None:
    """When the cause is gone, just what is missing is asked for."""
    fake = fake_search_console()
    summary = await run(path, fake, max_concurrency)
    assert summary.status == "complete"
    assert failed.pages + summary.pages == DAYS + 3 + 2
    assert len(fake.calls) == len(pages_of(fake)) == summary.pages
    assert comparable_dump(path) == oracle


@each_concurrency
@pytest.mark.parametrize("name", ENDINGS)
async def test_what_cannot_be_cured_halts_with_the_cause_and_goes_on_when_that_is_gone(
    tmp_path: Path, oracle: str, name: str, max_concurrency: int
) -> None:
    ending, path = ENDINGS[name], tmp_path / "search.db"
    faults = [attrs.evolve(fault) for fault in ending.faults]
    fake = fake_search_console(faults)
    failed = await run(path, fake, max_concurrency, **ending.settings)
    assert failed.status == ending.status
    for words in ending.words:
        assert words in failed.reason
    assert "\n" not in failed.reason
    await assert_goes_on(path, oracle, failed, max_concurrency)


@each_concurrency
async def test_a_network_that_always_resets_halts_and_goes_on(
    tmp_path: Path, oracle: str, max_concurrency: int
) -> None:
    path, fake = tmp_path / "search.db", fake_search_console()
    failed = await run(path, fake, max_concurrency, network=lambda: Reset(300), retry_budget=2)
    assert failed.status == "failed"
    assert "gave up after too many failed requests (retry_budget 2)" in failed.reason
    await assert_goes_on(path, oracle, failed, max_concurrency)


@each_concurrency
async def test_nobody_listens(tmp_path: Path, max_concurrency: int) -> None:
    settings = Settings(
        api_root="http://127.0.0.1:1", max_concurrency=max_concurrency, retry_budget=2, **QUICK
    )
    async with (
        open_sqlite_store(tmp_path / "search.db") as store,
        open_search_console(settings) as client,
    ):
        summary = await backfill(client, QUERY, store, start=END, end=END, today=TODAY)
    assert summary.status == "failed"
    assert "ConnectError" in summary.reason


@each_concurrency
async def test_a_day_whose_rows_move_between_its_pages_is_fetched_again(
    tmp_path: Path, oracle: str, max_concurrency: int
) -> None:
    path = tmp_path / "search.db"
    fault = Fault(ShiftedRows(3), data_date=LONG_DAY, start_row=20)
    summary = await run(path, fake_search_console([fault]), max_concurrency)
    assert (summary.status, summary.days, summary.days_fetched_again) == ("complete", DAYS, 1)
    assert summary.pages == DAYS + 3 + 2 + 4
    assert fault.times == 0
    assert comparable_dump(path) == oracle


@each_concurrency
async def test_a_day_whose_rows_never_rest_is_fetched_three_times_and_has_no_row_twice(
    tmp_path: Path, oracle: str, max_concurrency: int
) -> None:
    path = tmp_path / "search.db"
    fault = Fault(ShiftedRows(3), times=None, data_date=LONG_DAY, start_row=20)
    fake = fake_search_console([fault])
    summary = await run(path, fake, max_concurrency)
    assert (summary.status, summary.days, summary.days_fetched_again) == ("complete", DAYS, 1)
    assert [call.start_row for call in fake.calls].count(60) == 3

    def without_number(line: str) -> str:
        return re.sub(r"\((\d+,'[\d-]+'),\d+,", r"(\1,", line)

    def rows(dump: str, *, of_the_day: bool) -> list[str]:
        return [
            line
            for line in dump.splitlines()
            if line.startswith('INSERT INTO "search_') and (str(LONG_DAY) in line) is of_the_day
        ]

    stored = comparable_dump(path)
    assert rows(stored, of_the_day=False) == rows(oracle, of_the_day=False)
    # 20 of page 1; 20 of page 2, of which 3 are page 1's; 25 of the rest, which are undisturbed.
    # They are numbered as they came, so the 17 have other numbers than in the oracle.
    of_the_day = [without_number(line) for line in rows(stored, of_the_day=True)]
    assert len(set(of_the_day)) == len(of_the_day) == 65 - 3
    assert set(of_the_day) <= set(map(without_number, rows(oracle, of_the_day=True)))
    # It counts as fetched: the next run is not to begin with it again.
    summary = await run(path, fake_search_console(), max_concurrency)
    assert (summary.status, summary.requests) == ("complete", 0)


@each_concurrency
async def test_a_run_that_ends_before_it_fetched_a_day_again_leaves_that_to_the_next(
    tmp_path: Path, oracle: str, max_concurrency: int
) -> None:
    path = tmp_path / "search.db"
    faults = [
        Fault(ShiftedRows(3), data_date=LONG_DAY, start_row=20),
        Fault(FORBIDDEN, times=None, skip=1, data_date=LONG_DAY, start_row=0),
    ]
    summary = await run(path, fake_search_console(faults), max_concurrency)
    assert (summary.status, summary.days) == ("failed", DAYS - 1)
    fake = fake_search_console()
    summary = await run(path, fake, max_concurrency)
    assert (summary.status, summary.days, summary.days_fetched_again) == ("complete", 1, 0)
    assert sorted(pages_of(fake)) == [(str(LONG_DAY), row) for row in (0, 20, 40, 60)]
    assert comparable_dump(path) == oracle
