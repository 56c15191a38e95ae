"""The gates: what each stage must have shown before the next one begins, as data.

A gate is one figure and one limit. The success-metrics template of the playbook, its filled-in
form, the verdict and the exit code all come from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from gsc_trio.report.verdict import RESIDENT_BYTES
from gsc_trio.rollout.findings import Drill, Findings
from gsc_trio.rollout.measurement import Measurement
from gsc_trio.rollout.plan import BASELINE, DRILL, FIVE, THREE, Stage

EFFICIENCY = 0.9
"""What share of the possible speed-up must be reached."""

SPEED_UP = 4.0
"""What five workers must reach, where it is possible."""

HALT_SECONDS = 5.0
ROLLBACK_SECONDS = 60.0

Figure = Callable[[Findings], float | None]
"""A figure of what was found; None if it could not be measured, which passes no gate."""


@attrs.frozen
class Gate:
    """One figure that must keep to one limit."""

    name: str
    """What it is called where it fails, as ``concurrency-3/speed-up``."""
    stage: Stage
    """After which it is judged."""
    promise: str
    """What it holds, in words."""
    figure: Figure
    limit: Figure
    limit_text: str
    """The limit before anything is known, as the empty template has it."""
    is_minimum: bool = False
    """Whether the figure must be at least its limit, rather than at most."""
    is_of_whole_run: bool = True
    """Whether only a run that has completed is judged."""
    unit: str = ""
    """``×``, ``s``, ``MB`` or nothing."""
    advice: str = ""
    """Where to look if it fails."""

    def judge(self, findings: Findings) -> Verdict:
        """Hold what was found against the limit."""
        if not self._is_reached(findings):
            return Verdict(self)
        figure, limit = self.figure(findings), self.limit(findings)
        if figure is None or limit is None:
            return Verdict(self, has_passed=False)
        has_passed = figure >= limit if self.is_minimum else figure <= limit
        return Verdict(self, has_passed=has_passed, figure=figure, limit=limit)

    def _is_reached(self, findings: Findings) -> bool:
        run = findings.measurements.get(self.stage.name)
        if run is None or run.status == "interrupted":
            return False
        return run.status == "complete" or not self.is_of_whole_run


@attrs.frozen
class Verdict:
    """A gate's judgement."""

    gate: Gate
    has_passed: bool | None = None
    """None if the rollout did not come so far."""
    figure: float | None = None
    limit: float | None = None


def judge_stage(stage: Stage, findings: Findings) -> Sequence[Verdict]:
    """The verdicts of a stage's gates."""
    return [gate.judge(findings) for gate in GATES if gate.stage is stage]


def judge_all(findings: Findings) -> Sequence[Verdict]:
    """The verdicts of all gates."""
    return [gate.judge(findings) for gate in GATES]


def failed_names(findings: Findings) -> Sequence[str]:
    """What did not pass: gates and checks of the preflight, by name."""
    checks = [f"preflight/{check.name}" for check in findings.checks if not check.is_good]
    gates = [each.gate.name for each in judge_all(findings) if each.has_passed is False]
    return [*checks, *gates, *(["rollout/error"] if findings.failure else [])]


# How the gates are made.


def _run(stage: Stage, figure: Callable[[Measurement], float | None]) -> Figure:
    return lambda findings: figure(findings.measurements[stage.name])


def _drill(figure: Callable[[Drill], float | None]) -> Figure:
    return lambda findings: None if findings.drill is None else figure(findings.drill)


def _constant(limit: float) -> Figure:
    return lambda _: limit


def _speed_limit(stage: Stage, promised: float | None) -> Figure:
    def limit(findings: Findings) -> float:
        # A promise that the quota, one long day or the processor makes impossible proves nothing.
        possible = EFFICIENCY * findings.possible_speed_up(stage)
        return possible if promised is None else min(promised, possible)

    return limit


def _gates_of_a_run(stage: Stage) -> list[Gate]:
    return [
        Gate(
            f"{stage.name}/complete",
            stage,
            "days that are not complete",
            _run(stage, lambda run: run.days_planned - run.days),
            _constant(0),
            "0",
            is_of_whole_run=False,
            advice="the reason is in the table of runs; `gsc-trio status` tells which days are "
            "missing",
        ),
        Gate(
            f"{stage.name}/quota-exceeded",
            stage,
            "queries that Google refused as too many",
            _run(stage, lambda run: run.queries_refused),
            _constant(0),
            "0",
            is_of_whole_run=False,
            advice="another program spends the same quota: stop it, or lower `queries_per_minute` "
            "by its share",
        ),
        Gate(
            f"{stage.name}/quota-used",
            stage,
            "queries in the busiest 60 seconds",
            _run(stage, lambda run: run.peak_queries_per_minute),
            lambda findings: findings.request.settings.queries_per_minute,
            "`queries_per_minute`",
            is_of_whole_run=False,
            advice="this must not happen: keep the report and the databases, and report a bug",
        ),
    ]


def _gates_of_a_concurrent_run(stage: Stage) -> list[Gate]:
    def settings_limit(name: str) -> Figure:
        return lambda findings: getattr(findings.request.settings_of(stage), name)

    return [
        *_gates_of_a_run(stage),
        Gate(
            f"{stage.name}/rows-per-day",
            stage,
            "days that have another number of rows than the baseline",
            lambda findings: findings.comparisons[stage.name].days_with_other_counts,
            _constant(0),
            "0",
            advice="keep both databases; do not use this concurrency",
        ),
        Gate(
            f"{stage.name}/same-dump",
            stage,
            "days whose dump differs from the baseline's",
            lambda findings: len(findings.comparisons[stage.name].differences),
            _constant(0),
            "0",
            advice="if only the order of rows differs, Google changed it between the two runs: "
            "repeat the rollout; if not, keep both databases and do not use this concurrency",
        ),
        Gate(
            f"{stage.name}/queue",
            stage,
            "jobs in the queue when it was fullest",
            _run(stage, lambda run: run.peak_queue_depth),
            settings_limit("max_queue_size"),
            "`max_queue_size`",
            advice="this must not happen: keep the report, and report a bug",
        ),
        Gate(
            f"{stage.name}/in-flight",
            stage,
            "jobs in flight when they were most",
            _run(stage, lambda run: run.peak_in_flight),
            settings_limit("in_flight_limit"),
            "`max_in_flight`",
            advice="this must not happen: keep the report, and report a bug",
        ),
        Gate(
            f"{stage.name}/memory",
            stage,
            "of resident memory",
            _run(stage, lambda run: run.peak_resident_bytes / 1e6 or None),
            _constant(RESIDENT_BYTES / 1e6),
            f"{RESIDENT_BYTES / 1e6:g} MB",
            unit="MB",
            advice="lower `batch_size` or `max_waiting_bytes`",
        ),
    ]


def _speed_gate(stage: Stage, promised: float | None) -> Gate:
    share = f"{EFFICIENCY:.0%} of what is possible"
    return Gate(
        f"{stage.name}/speed-up",
        stage,
        "as fast as the sequential loop",
        lambda findings: findings.speed_up(stage),
        _speed_limit(stage, promised),
        share if promised is None else f"{promised:g} ×, or {share} if that is less",
        is_minimum=True,
        unit="×",
        advice="is the machine busy, the disk slow, `max_in_flight` small? Google's own pace may "
        "have changed between the runs: repeat the rollout at another time of day",
    )


_DRILL_GATES = [
    Gate(
        f"{DRILL.name}/halt",
        DRILL,
        "from asking for a halt until nothing runs",
        _drill(lambda drill: drill.halt_seconds),
        _constant(HALT_SECONDS),
        f"{HALT_SECONDS:g} s",
        unit="s",
        advice="lower `grace_seconds`; look at how long commits take",
    ),
    Gate(
        f"{DRILL.name}/rollback",
        DRILL,
        "from the change to 1 until one worker is at work",
        _drill(lambda drill: drill.rollback_seconds),
        _constant(ROLLBACK_SECONDS),
        f"{ROLLBACK_SECONDS:g} s",
        unit="s",
        advice="lower `batch_size`: a worker ends after its batch",
    ),
    Gate(
        f"{DRILL.name}/full-batch",
        DRILL,
        "for a batch of full size, which a rollback may have to wait for",
        lambda findings: findings.full_batch_seconds(),
        _constant(ROLLBACK_SECONDS),
        f"{ROLLBACK_SECONDS:g} s",
        unit="s",
        advice="lower `batch_size`: a worker ends after its batch",
    ),
    Gate(
        f"{DRILL.name}/fetched-again",
        DRILL,
        "pages that were committed and fetched again after the halt",
        _drill(lambda drill: drill.pages_committed_twice),
        _constant(0),
        "0",
        advice="this must not happen: keep the databases, and report a bug",
    ),
]

GATES: Sequence[Gate] = [
    *_gates_of_a_run(BASELINE),
    *_gates_of_a_concurrent_run(THREE),
    _speed_gate(THREE, None),
    *_gates_of_a_concurrent_run(FIVE),
    _speed_gate(FIVE, SPEED_UP),
    *_gates_of_a_concurrent_run(DRILL),
    *_DRILL_GATES,
]
"""In the order of the stages."""
