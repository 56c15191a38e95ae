from __future__ import annotations

import datetime as dt

import pytest
import trio
import trio.testing

from gsc_trio.cli.display import LineDisplay
from gsc_trio.cli.progress import Progress, keep_showing, show
from gsc_trio.cli.snapshot import duration_text
from gsc_trio.errors import BackendError, LoadQuotaExceededError, RateLimitExceededError
from gsc_trio.model import Day, Job, Page, Row
from gsc_trio.telemetry.events import (
    DayCompleted,
    JobsRetried,
    PageAnswered,
    PageCommitted,
    QuotaPaused,
    RequestSent,
    RunStarted,
)

DAY = dt.date(2025, 3, 1)
TOO_FAST = RateLimitExceededError("QPS quota exceeded.", status=403, reason="quotaExceeded")


def started(days: int) -> Progress:
    progress = Progress()
    progress.handle(RunStarted("sc-domain:example.com", DAY, DAY, days_planned=days))
    return progress


def commit(progress: Progress, *, rows: int, is_full: bool = False) -> None:
    row_limit = rows if is_full else rows + 1
    page = Page(Job(DAY), [Row()] * rows, row_limit=row_limit, content_bytes=1)
    progress.handle(PageAnswered(page))
    progress.handle(PageCommitted(page, 0.01))
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
