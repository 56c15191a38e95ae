"""Recording: a cassette has the pages that a run handed over, and its replay records the same."""

from __future__ import annotations

import datetime as dt
import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.workload import read_workload
from gsc_trio import (
    SearchAnalyticsQuery,
    Settings,
    backfill,
    open_search_console,
    open_sqlite_store,
)
from gsc_trio.errors import StorageError, UsageError
from gsc_trio.model import Day, Halt, Job, Page
from gsc_trio.store.dump import comparable_dump
from gsc_trio.telemetry.events import PageCommitted
from gsc_trio.testing import (
    BadJson,
    CutOff,
    FakeSearchConsole,
    Fault,
    Refuse,
    SimulatedProperty,
    open_recorder,
    open_streaming_transport,
    read_cassette,
    recorded_properties,
)
from gsc_trio.testing.cassette import request_for

SITE = "sc-domain:example.com"
END = dt.date(2026, 3, 4)
DAYS = 12
START = END - dt.timedelta(days=DAYS - 1)
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)
SIMULATED = SimulatedProperty(SITE, seed=3, rows_per_day=30, rows_by_day={START: 0})


async def record(
    fake: FakeSearchConsole, name: str, *, on_complete: Any = None, **settings: Any
) -> str:
    """Run a backfill into NAME.db, recorded in NAME.cassette; gives its status."""
    settings = {"retry_initial_seconds": 0, **settings}
    with open_recorder(f"{name}.cassette") as recorder:
        async with (
            open_streaming_transport(fake) as transport,
            open_search_console(
                Settings(**settings), transport=transport, on_answer=recorder.keep
            ) as client,
            open_sqlite_store(Path(f"{name}.db")) as store,
        ):
            summary = await backfill(
                client,
                QUERY,
                store,
                start=START,
                end=END,
                today=END + dt.timedelta(days=1),
                on_complete=on_complete,
                instruments=[recorder],
            )
        recorder.save()
    return summary.status


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.exists()}


def cassette_bytes(name: str) -> bytes:
    return files()[f"{name}.cassette"]


def write_precious(name: str) -> None:
    Path(name).write_text("precious")


def replaying(name: str) -> FakeSearchConsole:
    return FakeSearchConsole(recorded_properties(read_cassette(f"{name}.cassette")))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_concurrency": 1, "batch_size": 1},
        {"max_concurrency": 1, "batch_size": 5},
        {"max_concurrency": 5, "batch_size": 3},
    ],
)
async def test_a_replay_fills_the_same_database_and_records_the_same_bytes(
    settings: dict[str, int],
) -> None:
    assert await record(FakeSearchConsole([SIMULATED], part_order="shuffled"), "live") == "complete"
    assert await record(replaying("live"), "replay", **settings) == "complete"
    assert cassette_bytes("replay") == cassette_bytes("live")
    assert comparable_dump(Path("replay.db")) == comparable_dump(Path("live.db"))


async def test_a_benchmark_takes_it_and_its_label_says_that_its_rows_are_simulated() -> None:
    await record(FakeSearchConsole([SIMULATED]), "live")
    workload = read_workload(Path("live.cassette"))
    assert (workload.start, workload.end, workload.query) == (START, END, QUERY)
    assert workload.label.startswith(f"simulated: {SITE}, {START} to {END}, web by page, query; by")


async def test_what_google_answers_is_called_recorded() -> None:
    with open_recorder("run.cassette") as recorder:
        await recorder.keep(QUERY, Job(END), {"content-type": "application/json"}, b"{}", 0)
        recorder.handle(PageCommitted(Page(Job(END), [], 20, 2)))
        recorder.save()
    assert read_cassette("run.cassette").origin == "recorded"


async def test_refusals_and_failures_that_were_asked_again_are_not_kept() -> None:
    faults = [Fault(CutOff(), skip=1), Fault(BadJson(), skip=4), Fault(Refuse(503, "backendError"))]
    assert await record(FakeSearchConsole([SIMULATED], faults=faults), "weather") == "complete"
    assert await record(FakeSearchConsole([SIMULATED]), "calm") == "complete"
    assert cassette_bytes("weather") == cassette_bytes("calm")


async def test_the_last_answer_before_the_commit_is_kept() -> None:
    with open_recorder("run.cassette") as recorder:
        for content in (b'{"first":1}', b'{"second":2}'):
            await recorder.keep(QUERY, Job(END), {}, content, 0)
        recorder.handle(PageCommitted(Page(Job(END), [], 20, 2)))
        await recorder.keep(QUERY, Job(END), {}, b'{"third":3}', 0)
        assert recorder.save() == 1
    (answer,) = read_cassette("run.cassette").answers.values()
    assert answer.body.content() == b'{"second":2}'


@pytest.mark.parametrize("max_concurrency", [1, 5])
async def test_a_halted_run_keeps_what_it_committed_and_no_more(max_concurrency: int) -> None:
    def halt_at_the_fourth(day: Day) -> Halt | None:
        return Halt("enough") if day.data_date == END - dt.timedelta(days=3) else None

    fake = FakeSearchConsole([SimulatedProperty(SITE, seed=3, rows_per_day=10)])
    status = await record(
        fake, "run", on_complete=halt_at_the_fourth, max_concurrency=max_concurrency, batch_size=4
    )
    assert status == "halted"
    async with open_sqlite_store(Path("run.db")) as store:
        stored = await store.begin_run(QUERY, START, END)
    # Behind the fourth, days that were answered are written, and those between them go back.
    committed = sorted((day for day, there in stored.items() if there.is_complete), reverse=True)
    assert committed[:4] == [END - dt.timedelta(days=back) for back in range(4)]
    answers = read_cassette("run.cassette").answers
    assert list(answers) == [request_for(QUERY, day, 0) for day in committed]


async def test_a_page_that_was_not_committed_is_not_kept() -> None:
    with open_recorder("run.cassette") as recorder:
        await recorder.keep(QUERY, Job(END), {}, b"{}", 0)
        assert recorder.save() == 0
    assert files() == {}


@pytest.mark.parametrize(
    ("path", "words"),
    [("there", "it exists"), ("link", "it exists"), ("nowhere/run.cassette", "No such file")],
)
def test_where_nothing_can_be_written_is_refused_before_the_run(path: str, words: str) -> None:
    write_precious("there")
    Path("link").symlink_to("gone")
    with pytest.raises(UsageError, match=f"cannot write the cassette {path}: {words}"):
        open_recorder(path).__enter__()
    assert files()["there"] == b"precious"


async def test_a_file_that_comes_to_be_there_in_mid_run_is_not_replaced() -> None:
    with open_recorder("run.cassette") as recorder:
        await recorder.keep(QUERY, Job(END), {}, b"{}", 0)
        recorder.handle(PageCommitted(Page(Job(END), [], 20, 2)))
        write_precious("run.cassette")
        with pytest.raises(StorageError, match=r"nothing was recorded: .* it exists"):
            recorder.save()
    assert files() == {"run.cassette": b"precious"}


async def test_a_full_disk_ends_the_recording_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class FullDisk:
        def seek(self, *_: int) -> int:
            return 0

        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        spool = SimpleNamespace(TemporaryFile=lambda **_: FullDisk())
        patch.setattr("gsc_trio.testing.recording.tempfile", spool)
        with pytest.raises(StorageError, match="No space left on device; the run itself is not"):
            await record(FakeSearchConsole([SIMULATED]), "run")
    assert "run.cassette" not in files()
    await record(FakeSearchConsole([SIMULATED]), "another")
    assert comparable_dump(Path("run.db")) == comparable_dump(Path("another.db"))
