from __future__ import annotations

import datetime as dt
import io
import logging
import sys
import threading
from collections.abc import Sequence

import pyte
import pytest
import trio
import trio.testing

from gsc_trio.cli.display import Display, LineDisplay, LiveDisplay, Snapshot, choose_display
from gsc_trio.cli.progress import Progress, keep_showing, show
from gsc_trio.cli.snapshot import ProgressSnapshot, duration_text
from gsc_trio.errors import (
    ApiError,
    BackendError,
    LoadQuotaExceededError,
    MalformedResponseError,
    RateLimitExceededError,
    TransportError,
)
from gsc_trio.model import Day, Halt, Job, Page, Row
from gsc_trio.telemetry.events import (
    BatchTaken,
    DayCompleted,
    HaltRequested,
    JobsRetried,
    JobsReturned,
    PageAnswered,
    PageCommitted,
    QuotaPaused,
    RequestSent,
    RunFinished,
    RunStarted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)

DAY = dt.date(2025, 3, 1)
TOO_FAST = RateLimitExceededError("QPS quota exceeded.", status=403, reason="quotaExceeded")


def started(days: int) -> Progress:
    progress = Progress()
    start = DAY - dt.timedelta(days=days - 1)
    progress.handle(RunStarted("sc-domain:example.com", start, DAY, days_planned=days))
    return progress


def snapshot_of(progress: Progress) -> ProgressSnapshot:
    snapshot = progress.snapshot()
    assert snapshot is not None
    return snapshot


def commit(progress: Progress, *, rows: int, is_full: bool = False) -> None:
    row_limit = rows if is_full else rows + 1
    page = Page(Job(DAY), [Row()] * rows, row_limit=row_limit, content_bytes=1)
    progress.handle(PageAnswered(page))
    progress.handle(PageCommitted(page))
    if not is_full:
        progress.handle(DayCompleted(Day(DAY, rows)))


async def test_before_the_plan_is_made_there_is_nothing_to_show() -> None:
    assert Progress().snapshot() is None


async def test_a_snapshot_counts_and_estimates(mock_clock: trio.testing.MockClock) -> None:
    progress = started(days=3)
    progress.handle(RequestSent(queries=3, is_batch=True))
    mock_clock.jump(30)
    commit(progress, rows=5, is_full=True)  # its day has another page: four in all
    commit(progress, rows=4)
    snapshot = progress.snapshot()
    assert snapshot is not None
    assert (snapshot.days, snapshot.days_planned, snapshot.pages, snapshot.rows) == (1, 3, 2, 9)
    assert snapshot.queries_per_minute == 3
    assert snapshot.seconds_left == pytest.approx(30)
    mock_clock.jump(31)
    later = progress.snapshot()
    assert later is not None
    assert later.queries_per_minute == 0


async def test_pages_that_wait_for_their_turn_are_shown_and_count_in_the_estimate(
    mock_clock: trio.testing.MockClock,
) -> None:
    progress = started(days=4)
    mock_clock.jump(30)
    commit(progress, rows=5)
    for number in range(2):
        job = Job(DAY - dt.timedelta(days=number))
        progress.handle(PageAnswered(Page(job, [Row()], row_limit=2, content_bytes=1)))
    snapshot = progress.snapshot()
    assert snapshot is not None
    assert (snapshot.pages, snapshot.pages_waiting) == (1, 2)
    assert "1 pages (+2 fetched)" in snapshot.counts_text()
    assert snapshot.seconds_left == pytest.approx(10)


async def test_a_pause_is_told_with_its_reason_and_counts_down(
    mock_clock: trio.testing.MockClock,
) -> None:
    progress = started(days=2)
    progress.handle(JobsRetried((Job(DAY),), TOO_FAST, 0.0))
    progress.handle(QuotaPaused("user access-token", 8.0, TOO_FAST))
    mock_clock.jump(3)
    snapshot = progress.snapshot()
    assert snapshot is not None
    assert snapshot.counts_text().endswith("1 retried, paused for 0:00:05 more (too fast)")
    assert progress.take_notes() == [
        "user access-token pauses for 8 s: QPS quota exceeded. (403 quotaExceeded)"
    ]
    assert progress.take_notes() == []


async def test_failures_are_summed_up_until_they_are_told() -> None:
    progress = started(days=9)
    for number in range(3):
        error = BackendError(f"answer {number}", status=503)
        progress.handle(JobsRetried((Job(DAY), Job(DAY, 5)), error, 0.5))
    assert progress.take_notes() == ["6 queries failed, to be asked again: answer 2 (503)"]


async def test_plain_lines_come_when_something_changed_and_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress, display = started(days=3), LineDisplay()
    await show(progress, display)
    await show(progress, display)
    commit(progress, rows=4)
    await show(progress, display)
    await show(progress, display, is_last=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "0 of 3 days",
        "1 of 3 days",
        "1 of 3 days",
    ]
    assert lines[0].endswith("so far")
    assert "ETA " in lines[1]
    assert lines[2].endswith("in all")


async def test_plain_lines_are_seconds_apart(
    capsys: pytest.CaptureFixture[str], mock_clock: trio.testing.MockClock
) -> None:
    progress, display = started(days=1_000), LineDisplay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_showing, progress, display)
        for _ in range(100):
            commit(progress, rows=1)
            mock_clock.jump(0.1)
            await trio.testing.wait_all_tasks_blocked(0.001)
        nursery.cancel_scope.cancel()
    assert 2 <= len(capsys.readouterr().err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00:00"), (59.6, "0:01:00"), (3_725, "1:02:05")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


async def test_a_pause_for_the_load_quota_says_so(mock_clock: trio.testing.MockClock) -> None:
    progress = started(days=3)
    error = LoadQuotaExceededError("load quota exceeded", status=403, reason="quotaExceeded")
    progress.handle(QuotaPaused("user access-token", 900, error))
    mock_clock.jump(60)
    snapshot = progress.snapshot()
    assert snapshot is not None
    assert snapshot.counts_text().endswith("paused for 0:14:00 more (load quota)")


async def test_workers_queue_and_jobs_in_flight_are_as_the_last_events_had_them() -> None:
    progress = started(days=9)
    for worker in ("worker-1", "worker-2", "worker-3"):
        progress.handle(WorkerStarted(worker))
    progress.handle(WorkerEnded("worker-2"))
    progress.handle(WorkerCrashed("worker-1", ValueError("oops"), 1))
    progress.handle(BatchTaken("worker-1", 4, queue_depth=5, in_flight=4))
    snapshot = snapshot_of(progress)
    assert (snapshot.workers, snapshot.crashes) == (2, 1)
    assert (snapshot.queue_depth, snapshot.in_flight) == (5, 4)
    commit(progress, rows=2, is_full=True)
    snapshot = snapshot_of(progress)
    assert (snapshot.queue_depth, snapshot.in_flight) == (6, 3)
    progress.handle(JobsReturned(2, queue_depth=8, in_flight=1))
    snapshot = snapshot_of(progress)
    assert (snapshot.queue_depth, snapshot.in_flight) == (8, 1)


async def test_retries_are_counted_by_their_reason() -> None:
    progress = started(days=9)
    errors: list[ApiError] = [
        TOO_FAST,
        TransportError("reset"),
        BackendError("busy", status=503, reason="backendError"),
        BackendError("busy", status=502),
        MalformedResponseError("cut off"),
    ]
    for count, error in enumerate(errors, start=1):
        progress.handle(JobsRetried((Job(DAY),) * count, error, 1.0))
    assert snapshot_of(progress).retry_reasons == (
        *(("bad answer", 5), ("502", 4), ("backendError", 3), ("connection", 2)),
        ("too fast", 1),
    )


async def test_a_halt_is_told_with_its_reason_and_has_no_estimate() -> None:
    progress = started(days=9)
    commit(progress, rows=2)
    assert snapshot_of(progress).seconds_left is not None
    progress.handle(HaltRequested(Halt("enough")))
    snapshot = snapshot_of(progress)
    assert (snapshot.status, snapshot.halt_reason) == ("stopping", "enough")
    assert snapshot.seconds_left is None
    progress.handle(RunFinished("halted", "enough", 1.0))
    assert snapshot_of(progress).status == "halted"


async def test_a_terminal_that_is_stopped_holds_up_nothing_but_the_display() -> None:
    resumed = threading.Event()

    class Stopped(Display):
        interval_seconds = 0.001

        def show(self, snapshot: Snapshot, notes: Sequence[str], is_last: bool) -> None:
            resumed.wait(10)

    progress = started(days=3)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_showing, progress, Stopped())
            for _ in range(20):
                await trio.sleep(0.001)
                commit(progress, rows=1)
            assert not resumed.is_set()
            resumed.set()
            nursery.cancel_scope.cancel()


class FakeTerminal(io.StringIO):
    """What stderr is to a program that runs in a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def begin_in_terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> FakeTerminal:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name, value in {"COLUMNS": "80", "LINES": "24", **environment}.items():
        monkeypatch.setenv(name, value)
    return terminal


@pytest.mark.parametrize(
    ("term", "kind"),
    [("xterm-256color", LiveDisplay), ("dumb", LineDisplay), ("unknown", LineDisplay)],
)
def test_a_picture_is_only_for_terminals_whose_cursor_can_move(
    monkeypatch: pytest.MonkeyPatch, term: str, kind: type[Display]
) -> None:
    begin_in_terminal(monkeypatch, TERM=term)
    assert type(choose_display(wants_progress=True)) is kind
    assert type(choose_display(wants_progress=False)) is Display


def test_output_that_is_no_terminal_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert type(choose_display(wants_progress=True)) is LineDisplay


@pytest.mark.parametrize("no_color", ["", "1"])
async def test_colours_are_left_out_when_nobody_wants_them(
    monkeypatch: pytest.MonkeyPatch, no_color: str
) -> None:
    terminal = begin_in_terminal(monkeypatch, TERM="xterm-256color", NO_COLOR=no_color)
    progress = started(days=9)
    commit(progress, rows=2)
    with choose_display(wants_progress=True) as display:
        await show(progress, display)
        display.tell("a note")
    shown = terminal.getvalue()
    assert "a note" in shown
    assert "1 of 9 days" in shown
    assert ("\x1b[38;5;" in shown) == (not no_color)
    assert ("█" in shown) == bool(no_color)  # which tells states apart without colours


async def test_what_is_logged_stays_above_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = begin_in_terminal(monkeypatch, TERM="xterm-256color")
    logger = logging.getLogger("gsc_trio")
    monkeypatch.setattr(logger, "propagate", False)  # pytest listens at the root
    progress = started(days=9)
    with choose_display(wants_progress=True) as display:
        await show(progress, display)
        begun = terminal.getvalue()
        try:
            raise ValueError("oops\x1b[2J")
        except ValueError:
            logger.exception("worker-1 crashed")
        assert terminal.getvalue() == begun  # nothing is written on the event loop
        await show(progress, display)
        logger.warning("late")
    screen = pyte.Screen(80, 40)
    pyte.Stream(screen).feed(terminal.getvalue().replace("\n", "\r\n"))
    lines = [line.rstrip() for line in screen.display]
    assert lines[:2] == ["worker-1 crashed", "Traceback (most recent call last):"]
    assert "    raise ValueError(" in "\n".join(lines)
    picture = next(number for number, line in enumerate(lines) if line.startswith("sc-domain"))
    assert lines[picture - 1] == "ValueError: oops [2J"
    assert lines.index("late") > picture
