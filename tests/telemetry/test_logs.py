"""Structured logs: one event a line, of its level, and never a secret."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import attrs
import pytest
import trio.testing

from gsc_trio.errors import BackendError, LoadQuotaExceededError
from gsc_trio.model import Day, Halt, Job, Page, Row
from gsc_trio.telemetry.events import (
    BatchFinished,
    DayCompleted,
    Event,
    HaltRequested,
    JobsRetried,
    PageCommitted,
    QuotaPaused,
    QuotaUsed,
    RunFinished,
    RunStarted,
    WorkerCrashed,
)
from gsc_trio.telemetry.facts import snake_case
from gsc_trio.telemetry.logs import LEVELS, JsonLog, TextLog
from gsc_trio.testing import Fault, Refuse
from tests.telemetry.runs import SITE, TOKEN, day, fake_with_faults, run_with

JOBS = (Job(day(0)), Job(day(1), 20))
PAGE = Page(Job(day(1), 20), [Row(("a",), 1.0, 2.0)], row_limit=20, content_bytes=99)


def logged(event: Event, level: str = "debug") -> list[dict[str, Any]]:
    lines: list[str] = []
    JsonLog(lines.append, level=level).handle(event)
    return [json.loads(line) for line in lines]


def facts(event: Event) -> dict[str, Any]:
    (entry,) = logged(event)
    return {key: entry[key] for key in entry if key not in {"time", "level", "event"}}


@pytest.mark.parametrize(
    ("event", "level", "expected"),
    [
        (
            BatchFinished("worker-1", 50, 2, 1.23456789),
            "warning",
            {
                "worker": "worker-1",
                "jobs": 50,
                "failed": 2,
                "duration_seconds": 1.234568,
                "status": "partial",
            },
        ),
        (DayCompleted(Day(day(0), 7)), "info", {"data_date": "2026-06-17", "rows": 7}),
        (
            PageCommitted(PAGE),
            "debug",
            {
                "data_date": "2026-06-16",
                "start_row": 20,
                "rows": 1,
                "content_bytes": 99,
            },
        ),
        (
            QuotaUsed("project", 3, 40_000),
            "debug",
            {"key": "project", "used": 3, "limit": 40_000},
        ),
        (
            JobsRetried(JOBS, BackendError("Backend Error", status=503), 2.0),
            "warning",
            {
                "jobs": 2,
                "data_dates": ["2026-06-16", "2026-06-17"],
                "error": "Backend Error (503)",
                "error_kind": "backend",
                "delay_seconds": 2.0,
            },
        ),
        (
            QuotaPaused("user me", 900.0, LoadQuotaExceededError("Load quota\nexceeded")),
            "warning",
            {
                "key": "user me",
                "seconds": 900.0,
                "error": "Load quota\nexceeded",
                "error_kind": "load_quota_exceeded",
            },
        ),
        (
            WorkerCrashed("worker-2", KeyError(), 1),
            "error",
            {"worker": "worker-2", "error": "KeyError", "error_kind": "key", "crashes": 1},
        ),
        (
            HaltRequested(Halt("no disk", status="failed", error=OSError())),
            "warning",
            {"status": "failed", "reason": "no disk"},
        ),
        (
            RunFinished("failed", "no disk", 3.0),
            "error",
            {"status": "failed", "reason": "no disk", "duration_seconds": 3.0},
        ),
    ],
    ids=lambda value: type(value).__name__ if attrs.has(type(value)) else "",
)
def test_an_event_is_a_flat_object_of_its_facts(
    event: Event, level: str, expected: dict[str, Any]
) -> None:
    (entry,) = logged(event)
    assert entry["event"] == snake_case(type(event).__name__)
    assert entry["level"] == level
    assert dt.datetime.fromisoformat(entry["time"]).tzinfo is not None
    assert facts(event) == expected


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_less_important_is_not_written(level: str) -> None:
    events: list[Event] = [
        PageCommitted(PAGE),
        DayCompleted(Day(day(0), 7)),
        BatchFinished("worker-1", 2, 2, 1.0),
        WorkerCrashed("worker-1", KeyError(), 1),
    ]
    written = [entry["level"] for event in events for entry in logged(event, level)]
    assert written == list(LEVELS[LEVELS.index(level) :])


def test_text_is_one_line_of_names_and_values_quoted_where_needed() -> None:
    lines: list[str] = []
    log = TextLog(lines.append)
    log.handle(QuotaPaused("user me", 900.0, LoadQuotaExceededError('Load "quota"\n\x1b[31mdone')))
    log.handle(JobsRetried(JOBS, BackendError(""), 0.0))
    first, second = (line.split(" ", 1)[1] for line in lines)
    assert first == (
        'WARNING quota_paused key="user me" seconds=900.0 '
        'error="Load \\"quota\\"\\n\\u001b[31mdone" error_kind=load_quota_exceeded\n'
    )
    assert second == (
        "WARNING jobs_retried jobs=2 data_dates=2026-06-16,2026-06-17 error=BackendError "
        "error_kind=backend delay_seconds=0.0\n"
    )


@pytest.mark.parametrize("kind", [JsonLog, TextLog])
async def test_a_whole_run_is_one_line_for_each_event_without_the_token(
    kind: type[JsonLog | TextLog], autojump_clock: trio.testing.MockClock
) -> None:
    told: list[Event] = []

    class Counter:
        def handle(self, event: Event) -> None:
            told.append(event)

    lines: list[str] = []
    fake = fake_with_faults(
        Fault(Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded.")),
        Fault(Refuse(503, message="Zeile 1\nZeile 2 \N{SNOWMAN}"), skip=3),
        Fault(Refuse(401, "authError", "Invalid Credentials"), skip=20),
    )
    summary = await run_with([kind(lines.append, level="debug"), Counter()], fake, days=40)
    assert summary.status == "failed"
    assert len(lines) == len(told) > 40
    assert all(line.endswith("\n") and line.count("\n") == 1 and line.isascii() for line in lines)
    assert TOKEN not in "".join(lines)
    assert SITE in lines[0]
    if kind is JsonLog:
        assert [json.loads(line)["event"] for line in lines] == [
            snake_case(type(event).__name__) for event in told
        ]
        assert json.loads(lines[-1])["reason"] == summary.reason


SAMPLES: dict[Any, tuple[object, ...]] = {
    str: ("text",),
    int: (7,),
    float: (0.5,),
    bool: (True,),
    dt.date: (day(0),),
    Page: (PAGE,),
    Day: (Day(day(0), 7),),
    Halt: (Halt("enough"),),
    BaseException: (KeyError("x"),),
    int | None: (200, None),
    BaseException | None: (BackendError("x"), None),
    Callable[[], int]: (lambda: 3,),
    tuple[Job, ...]: (JOBS, ()),
    tuple[dt.date, ...]: ((day(0), day(1)), ()),
}
"""Values for whatever an event may hold."""


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_kind_of_event_can_be_written_down(kind: Any) -> None:
    hints = get_type_hints(kind)
    values = [SAMPLES[hints[field.name]] for field in attrs.fields(kind)]
    for sample in (0, -1):
        event = kind(*(each[sample] for each in values))
        (entry,) = logged(event)
        assert entry["event"] == snake_case(kind.__name__)
        text: list[str] = []
        TextLog(text.append, level="debug").handle(event)
        assert text[0].count("\n") == 1


def test_of_many_days_a_line_has_only_the_count() -> None:
    stored = facts(RunStarted(SITE, day(9), day(0), 8, days_stored=(day(0), day(1))))
    assert stored["days_stored"] == 2
    assert "data_dates" not in stored


def test_every_kind_of_event_has_a_name_of_its_own() -> None:
    names = [snake_case(kind.__name__) for kind in get_args(Event)]
    assert len(set(names)) == len(names)
