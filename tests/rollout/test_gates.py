"""Each gate: the figure that breaks it fails it, and only it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from gsc_trio.model import Job
from gsc_trio.rollout.comparison import Comparison, DayDifference
from gsc_trio.rollout.findings import Check, Drill, Findings
from gsc_trio.rollout.gates import GATES, failed_names
from gsc_trio.rollout.measurement import Measurement
from gsc_trio.rollout.plan import BASELINE, DRILL, FIVE, STAGES, THREE, RolloutRequest, Stage
from gsc_trio.rollout.record import status

DAYS = 60
JOBS = [Job(dt.date(2026, 6, 17) - dt.timedelta(days=number)) for number in range(DAYS)]


def measured(stage: Stage, **facts: Any) -> Measurement:
    """A stage whose calls take half a second each, and nothing else any time."""
    run = Measurement(
        concurrency=stage.concurrency,
        batch_size=10,
        status="complete",
        reason="",
        days=DAYS,
        days_planned=DAYS,
        pages=DAYS,
        rows=DAYS * 10,
        seconds=DAYS * 0.5 / stage.concurrency,
        cpu_seconds=0.01,
        queries=DAYS,
        queries_refused=0,
        retries=0,
        peak_queries_per_minute=DAYS,
        peak_queue_depth=DAYS,
        peak_in_flight=stage.concurrency * 2,
        longest_batch_seconds=5.0,
        peak_resident_bytes=100_000_000,
        page_seconds=dict.fromkeys(JOBS, 0.5),
    )
    return attrs.evolve(run, **facts)


@pytest.fixture
def findings(request_for: Callable[..., RolloutRequest]) -> Findings:
    """Of a rollout that went well."""
    return Findings(
        request_for(days=DAYS),
        checks=[Check("disk", is_good=True, text="plenty")],
        measurements={stage.name: measured(stage) for stage in STAGES},
        comparisons={stage.name: Comparison(DAYS, DAYS * 10, ()) for stage in STAGES[1:]},
        drill=Drill(halt_seconds=0.5, rollback_seconds=5.0, pages_committed_twice=0),
    )


def breaking_facts(stage: Stage) -> dict[str, dict[str, Any]]:
    return {
        "quota-exceeded": {"queries_refused": 1},
        "quota-used": {"peak_queries_per_minute": 1_201},
        "queue": {"peak_queue_depth": 1_001},
        "in-flight": {"peak_in_flight": 2 * 50 * stage.concurrency + 1},
        "memory": {"peak_resident_bytes": 300_000_001},
        "speed-up": {"seconds": DAYS * 0.5 / stage.concurrency * 1.3},
    }


BROKEN = [
    (f"{stage.name}/{gate}", stage, facts)
    for stage in STAGES
    for gate, facts in breaking_facts(stage).items()
    if f"{stage.name}/{gate}" in {each.name for each in GATES}
]


@pytest.mark.parametrize(("gate", "stage", "facts"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_run_that_breaks_a_limit_fails_its_gate(
    findings: Findings, gate: str, stage: Stage, facts: dict[str, Any]
) -> None:
    assert failed_names(findings) == []
    findings.measurements[stage.name] = measured(stage, **facts)
    assert failed_names(findings) == [gate]
    assert status(findings) == "failed"


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_that_is_not_complete_fails_by_that_alone(findings: Findings, stage: Stage) -> None:
    findings.measurements[stage.name] = measured(stage, status="failed", days=DAYS - 1, pages=0)
    findings.comparisons.pop(stage.name, None)
    if stage is BASELINE:  # what comes after it would be judged by it
        findings.measurements = {stage.name: findings.measurements[stage.name]}
    assert failed_names(findings) == [f"{stage.name}/complete"]


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_day_that_differs_fails_the_gates_of_rows(findings: Findings, stage: Stage) -> None:
    day = JOBS[3].data_date
    for rows, gates in ((9, ["rows-per-day", "same-dump"]), (10, ["same-dump"])):
        difference = DayDifference(day, rows, 10, is_order_only=False)
        findings.comparisons[stage.name] = Comparison(DAYS, DAYS * 10, (difference,))
        assert failed_names(findings) == [f"{stage.name}/{gate}" for gate in gates]


@pytest.mark.parametrize(
    ("gate", "facts"),
    [
        ("halt", {"halt_seconds": 5.1}),
        ("halt", {"halt_seconds": None}),
        ("rollback", {"rollback_seconds": 60.1}),
        ("rollback", {"rollback_seconds": None}),
        ("fetched-again", {"pages_committed_twice": 1}),
    ],
)
def test_a_drill_that_is_slow_or_loses_work_fails_its_gate(
    findings: Findings, gate: str, facts: dict[str, Any]
) -> None:
    good = Drill(halt_seconds=5.0, rollback_seconds=60.0, pages_committed_twice=0)
    findings.drill = good
    assert failed_names(findings) == []
    findings.drill = attrs.evolve(good, **facts)
    assert failed_names(findings) == [f"drill/{gate}"]


def test_batches_that_take_too_long_for_a_rollback_fail_its_gate(findings: Findings) -> None:
    findings.measurements[FIVE.name] = measured(FIVE, longest_batch_seconds=60.1)
    assert failed_names(findings) == ["drill/full-batch"]


def test_a_full_batch_counts_also_when_none_was_sent(findings: Findings) -> None:
    findings.request = attrs.evolve(
        findings.request, settings=attrs.evolve(findings.request.settings, batch_size=121)
    )
    assert findings.full_batch_seconds() == pytest.approx(60.5)
    assert failed_names(findings) == ["drill/full-batch"]


def test_every_gate_was_broken_here() -> None:
    drill = {f"drill/{name}" for name in ("halt", "rollback", "full-batch", "fetched-again")}
    broken = {case[0] for case in BROKEN} | drill
    broken |= {f"{stage.name}/complete" for stage in STAGES}
    broken |= {
        f"{stage.name}/{gate}" for stage in STAGES[1:] for gate in ("rows-per-day", "same-dump")
    }
    assert broken == {gate.name for gate in GATES}
    assert {gate.stage for gate in GATES} == set(STAGES)


def test_three_workers_must_reach_nine_tenths_of_what_is_possible(findings: Findings) -> None:
    assert findings.possible_speed_up(THREE) == pytest.approx(3)
    findings.measurements[THREE.name] = measured(THREE, seconds=DAYS * 0.5 / 2.71)
    assert failed_names(findings) == []
    findings.measurements[THREE.name] = measured(THREE, seconds=DAYS * 0.5 / 2.69)
    assert failed_names(findings) == ["concurrency-3/speed-up"]


def test_four_times_is_asked_of_five_workers_only_where_it_is_possible(findings: Findings) -> None:
    findings.measurements[FIVE.name] = measured(FIVE, seconds=DAYS * 0.5 / 3.9)
    assert failed_names(findings) == ["concurrency-5/speed-up"]
    # One day whose pages take a quarter of the time: nothing can be more than 4 times as fast.
    long_day = dict.fromkeys(JOBS, 0.5) | {Job(JOBS[0].data_date, 25_000): 7.0}
    slow = measured(BASELINE, page_seconds=long_day, seconds=30.0)
    findings.measurements[BASELINE.name] = slow
    assert findings.possible_speed_up(FIVE) == pytest.approx(4)
    assert failed_names(findings) == []


def test_the_quota_bounds_what_is_possible(findings: Findings) -> None:
    settings = attrs.evolve(findings.request.settings, queries_per_minute=20)
    findings.request = attrs.evolve(findings.request, settings=settings)
    assert findings.ideal(FIVE).bound_by == "quota"
    assert findings.ideal(FIVE).seconds == 120


def test_a_check_that_fails_and_an_error_are_named_too(findings: Findings) -> None:
    findings.checks.append(Check("clock", is_good=False, text="an hour slow"))
    findings.failure = "no space left on the disk"
    assert failed_names(findings) == ["preflight/clock", "rollout/error"]


def test_what_could_not_be_measured_passes_no_gate(findings: Findings) -> None:
    findings.measurements[DRILL.name] = measured(DRILL, peak_resident_bytes=0)
    assert failed_names(findings) == ["drill/memory"]
