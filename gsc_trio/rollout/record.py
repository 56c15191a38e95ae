"""What a rollout found out, as plain values for ``--json``: the same figures as in the report."""

from __future__ import annotations

from typing import Any

import attrs

from gsc_trio.rollout.findings import Findings
from gsc_trio.rollout.gates import Verdict, failed_names, judge_all
from gsc_trio.rollout.plan import DRILL, STAGES
from gsc_trio.rollout.wording import verdict_text


def record(findings: Findings) -> dict[str, Any]:
    """Everything that is known; a stage that was not reached is not there."""
    request = findings.request
    rehearsal = request.rehearsal
    return {
        "status": status(findings),
        "reason": findings.interruption or findings.failure,
        "failed": failed_names(findings),
        "site": request.query.site_url,
        "start": request.start,
        "end": request.end,
        "days": request.days,
        "baseline_days": request.baseline_days,
        "latency_scale": rehearsal.latency_scale if rehearsal else None,
        "preflight": [attrs.asdict(check) for check in findings.checks],
        "gates": [_gate(verdict) for verdict in judge_all(findings)],
        "runs": [
            _run(findings, stage.name) for stage in STAGES if stage.name in findings.measurements
        ],
        "differences": {
            name: [attrs.asdict(each) for each in comparison.differences]
            for name, comparison in findings.comparisons.items()
        },
        "drill": attrs.asdict(findings.drill) if findings.drill else None,
    }


def status(findings: Findings) -> str:
    """``passed``, ``failed`` or ``interrupted``."""
    if findings.interruption:
        return "interrupted"
    return "failed" if failed_names(findings) else "passed"


def _gate(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.gate.name,
        "promise": verdict.gate.promise,
        "verdict": verdict_text(verdict),
        "figure": verdict.figure,
        "limit": verdict.limit,
        "is_minimum": verdict.gate.is_minimum,
        "unit": verdict.gate.unit,
    }


def _run(findings: Findings, name: str) -> dict[str, Any]:
    stage = next(stage for stage in STAGES if stage.name == name)
    run = findings.measurements[name]
    figures = attrs.asdict(run, filter=lambda field, _: field.name != "page_seconds")
    has_speed = run.status == "complete" and stage is not DRILL
    return {
        "stage": name,
        "database": str(findings.request.database_of(stage)),
        **figures,
        "speed_up": findings.speed_up(stage) if has_speed else None,
        "possible_speed_up": findings.possible_speed_up(stage) if has_speed else None,
    }
