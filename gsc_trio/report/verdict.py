"""The verdict on a run: each success metric with what was measured, and whether it holds.

The metrics are those of the rollout playbook that one run can answer. What could not be measured,
or did not come to pass, is said to be so; it is neither good nor bad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from gsc_trio.report.record import LEFT_OUT, MISSING, PARTIAL, RunRecord

RESIDENT_BYTES = 300_000_000
"""What a process may take: ten workers with batches of 50 full pages stay below it."""

HALT_SLACK_SECONDS = 1.0
"""How much longer than its grace time a halt may take, to wind up."""


@attrs.frozen
class Check:
    """One success metric."""

    name: str
    """For programs, as ``quota``."""
    promise: str
    """What should hold, in a few words."""
    found: str
    """What was measured, and against what."""
    holds: bool | None
    """None where there was nothing to measure."""


def verdict_text(checks: Sequence[Check]) -> str:
    """All checks in one sentence."""
    judged = [check for check in checks if check.holds is not None]
    failed = [check for check in judged if not check.holds]
    if not failed:
        return f"All {len(judged)} success metrics hold"
    does_not = "does not" if len(failed) == 1 else "do not"
    return f"{len(failed)} of {len(judged)} success metrics {does_not} hold"


def judge(record: RunRecord) -> list[Check]:
    """Every success metric, in the order in which they matter."""
    return [check(record) for check in _CHECKS]


def _complete(record: RunRecord) -> Check:
    status = record.summary.status
    return Check("complete", "The run is complete", f"it is {status}", status == "complete")


def _coverage(record: RunRecord) -> Check:
    open_days = sum(day.state in {PARTIAL, MISSING} for day in record.days)
    left_out = sum(day.state == LEFT_OUT for day in record.days)
    found = f"{open_days:,} of {len(record.days):,} days are not"
    if not open_days:
        found = f"{len(record.days) - left_out:,} of {len(record.days):,} days"
        if left_out:
            found += ", and the others are not final yet"
    return Check("coverage", "Every day is stored whole", found, open_days == 0)


def _quota(record: RunRecord) -> Check:
    most, limit = record.summary.peak_queries_per_minute, record.limits.queries_per_minute
    is_within = all(use.used <= use.limit for use in record.quota.values())
    return Check(
        "quota",
        "The quota was never exceeded",
        f"at most {most:,} of {limit:,} queries in any 60 s",
        (most <= limit and is_within) if record.summary.requests else None,
    )


def _refused(record: RunRecord) -> Check:
    found = "none refused" if not record.refused else f"{record.refused:,} queries refused"
    holds = record.refused == 0 if record.summary.requests else None
    return Check("refused", "Google refused nothing as too many", found, holds)


def _queue(record: RunRecord) -> Check:
    most, limit = record.peaks.queue_depth, record.limits.max_queue_size
    if record.limits.max_concurrency == 1:
        return Check("queue", "The queue kept to its limit", "one worker needs no queue", None)
    return Check(
        "queue",
        "The queue kept to its limit",
        f"at most {most:,} of {limit:,} jobs",
        most <= limit if record.summary.requests else None,
    )


def _in_flight(record: RunRecord) -> Check:
    most, limit = record.peaks.in_flight, record.limits.max_in_flight
    return Check(
        "in-flight",
        "Jobs in flight kept to their limit",
        f"at most {most:,} of {limit:,} jobs",
        most <= limit if record.summary.requests else None,
    )


def _waiting(record: RunRecord) -> Check:
    peaks = record.peaks
    if record.limits.max_concurrency == 1:
        return Check(
            "waiting", "Answers that wait kept to their limit", "one worker: one batch", None
        )
    # The next page in line is let in whatever waits.
    limit = record.limits.max_waiting_bytes + peaks.page_bytes
    return Check(
        "waiting",
        "Answers that wait kept to their limit",
        f"at most {megabytes(peaks.waiting_bytes)} of {megabytes(limit)}",
        peaks.waiting_bytes <= limit if peaks.resident_bytes else None,
    )


def _memory(record: RunRecord) -> Check:
    most = record.peaks.resident_bytes
    return Check(
        "memory",
        "Memory stayed bounded",
        f"at most {megabytes(most)} of {megabytes(RESIDENT_BYTES)}" if most else "not measured",
        most <= RESIDENT_BYTES if most else None,
    )


def _halt(record: RunRecord) -> Check:
    limit = record.limits.grace_seconds + HALT_SLACK_SECONDS
    seconds = record.halt_seconds
    if seconds is None:
        return Check("halt", "A halt is soon over", "there was none", None)
    found = f"{seconds:.1f} s of {limit:g} s"
    return Check("halt", "A halt is soon over", found, seconds <= limit)


def _crashes(record: RunRecord) -> Check:
    found = f"{record.crashes:,} crashed" if record.crashes else "none crashed"
    return Check("crashes", "No worker crashed", found, record.crashes == 0)


_CHECKS: Sequence[Callable[[RunRecord], Check]] = (
    _complete,
    _coverage,
    _quota,
    _refused,
    _queue,
    _in_flight,
    _waiting,
    _memory,
    _halt,
    _crashes,
)


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:,.1f} MB" if count < 1e8 else f"{count / 1e6:,.0f} MB"
