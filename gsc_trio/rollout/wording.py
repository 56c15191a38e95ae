"""Figures, verdicts and checks in words: the same on a terminal and in the report."""

from __future__ import annotations

from gsc_trio.rollout.findings import Check, Findings
from gsc_trio.rollout.gates import Gate, Verdict
from gsc_trio.rollout.plan import FIVE, STAGES, THREE

BLANK = "____"
"""What the empty template has where the filled-in one has a figure."""

_DECIMALS = {"×": 2, "s": 2, "MB": 0}


def check_line(check: Check) -> str:
    """A check of the preflight on one line."""
    return f"{'passed' if check.is_good else 'FAILED'} preflight/{check.name}: {check.text}"


def verdict_line(verdict: Verdict) -> str:
    """A gate's judgement on one line."""
    gate = verdict.gate
    line = f"{verdict_text(verdict)} {gate.name}"
    if verdict.has_passed is None:
        return line
    limit = gate.limit_text if verdict.limit is None else figure_text(gate, verdict.limit)
    line += f": {figure_text(gate, verdict.figure)} {gate.promise}"
    return line if limit == "0" else f"{line} ({_relation(gate)} {limit})"


def run_lines(findings: Findings) -> list[str]:
    """What each stage brought, and how fast, a line each."""
    lines = []
    for stage in STAGES:
        run = findings.measurements.get(stage.name)
        if run is None:
            continue
        line = f"{stage.name}: {run.days:,} days, {run.rows:,} rows in {run.seconds:,.1f} s"
        if run.status == "complete" and stage in {THREE, FIVE}:
            speed_up, possible = findings.speed_up(stage), findings.possible_speed_up(stage)
            line += f", {speed_up:.2f} × as fast as the sequential loop ({possible:.2f} × possible)"
        lines.append(line)
    drill = findings.drill
    if drill and drill.halt_seconds is not None and drill.rollback_seconds is not None:
        lines.append(
            f"halted within {drill.halt_seconds:.2f} s, down to one worker within "
            f"{drill.rollback_seconds:.2f} s"
        )
    return lines


def _relation(gate: Gate) -> str:
    return "at least" if gate.is_minimum else "at most"


def verdict_text(verdict: Verdict) -> str:
    """``passed``, ``FAILED`` or ``not reached``."""
    if verdict.has_passed is None:
        return "not reached"
    return "passed" if verdict.has_passed else "FAILED"


def figure_text(gate: Gate, figure: float | None) -> str:
    """A gate's figure, or its limit, with the unit."""
    if figure is None:
        return "not measured"
    number = f"{figure:,.{_DECIMALS.get(gate.unit, 0)}f}"
    return f"{number} {gate.unit}".strip()
