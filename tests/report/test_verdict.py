from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
from trio.testing import MockClock

from gsc_trio.report.record import QuotaUse, RunRecord
from gsc_trio.report.verdict import Check, judge, verdict_text
from tests.report.runs import bad_record, good_record, record_of
from tests.telemetry.runs import fake_with_faults


def by_name(record: RunRecord) -> dict[str, Check]:
    return {check.name: check for check in judge(record)}


def failed_names(record: RunRecord) -> list[str]:
    return [check.name for check in judge(record) if check.holds is False]


def changed(record: RunRecord, change: dict[str, Any]) -> RunRecord:
    """A record with other figures, given as ``{"peaks.in_flight": 7}``."""
    for path, value in change.items():
        whole, _, part = path.partition(".")
        inner = getattr(record, whole)
        if not part:
            inner = value
        elif attrs.has(type(inner)):
            inner = attrs.evolve(inner, **{part: value})
        else:
            inner = msgspec.structs.replace(inner, **{part: value})
        record = msgspec.structs.replace(record, **{whole: inner})
    return record


def in_little_memory(record: RunRecord) -> RunRecord:
    """As if the tests before this one had left nothing behind in the process."""
    return changed(record, {"peaks.resident_bytes": 100_000_000})


async def test_a_good_run_keeps_every_promise(autojump_clock: MockClock) -> None:
    record = in_little_memory(await good_record())
    assert {check.holds for check in judge(record) if check.name != "halt"} == {True}
    assert by_name(record)["halt"].holds is None
    assert verdict_text(judge(record)) == "All 9 success metrics hold"


async def test_a_run_that_was_refused_says_so(autojump_clock: MockClock) -> None:
    record = in_little_memory(await bad_record())
    assert failed_names(record) == ["refused"]
    assert verdict_text(judge(record)) == "1 of 9 success metrics does not hold"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("complete", {"summary.status": "halted"}),
        ("quota", {"summary.peak_queries_per_minute": 1_201}),
        ("quota", {"quota": {"project": QuotaUse(101, 100)}}),
        ("refused", {"refused": 1}),
        ("queue", {"peaks.queue_depth": 1_001}),
        ("in-flight", {"peaks.in_flight": 10_000}),
        ("waiting", {"peaks.waiting_bytes": 1 << 30}),
        ("memory", {"peaks.resident_bytes": 300_000_001}),
        ("halt", {"halt_seconds": 5.1}),
        ("crashes", {"crashes": 1}),
    ],
)
async def test_a_figure_beyond_its_limit_fails_its_check_alone(
    name: str, change: dict[str, Any], autojump_clock: MockClock
) -> None:
    assert failed_names(changed(in_little_memory(await good_record()), change)) == [name]


async def test_days_that_are_missing_fail_and_days_that_are_not_final_do_not(
    autojump_clock: MockClock,
) -> None:
    good, left_out = in_little_memory(await good_record()), in_little_memory(await bad_record())
    days = [msgspec.structs.replace(good.days[0], state="missing"), *good.days[1:]]
    missing = by_name(changed(good, {"days": days}))["coverage"]
    assert (missing.holds, missing.found) == (False, "1 of 12 days are not")
    assert by_name(left_out)["coverage"].found == "12 of 14 days, and the others are not final yet"


async def test_what_a_run_did_not_do_is_not_judged(autojump_clock: MockClock) -> None:
    sequential = by_name(await record_of(fake_with_faults(), max_concurrency=1))
    assert sequential["queue"].holds is None
    idle = changed(
        in_little_memory(await good_record()), {"summary.requests": 0, "peaks.resident_bytes": 0}
    )
    judged = by_name(idle)
    assert {judged[name].holds for name in ("quota", "refused", "queue", "memory")} == {None}
