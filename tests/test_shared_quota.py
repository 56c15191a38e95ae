"""Simulated hours of a quota that is shared with others; the soak takes days."""

from __future__ import annotations

import pytest

from tests.soak.shared_quota import shared_quota_day

LIMIT = 20


@pytest.mark.parametrize(("max_concurrency", "hours"), [(1, 8), (3, 12)])
def test_a_shared_quota_stays_below_the_limit_and_never_stalls_without_a_cause(
    max_concurrency: int, hours: int
) -> None:
    report = shared_quota_day(
        queries_per_minute=LIMIT, hours=hours, max_concurrency=max_concurrency, seed=max_concurrency
    )
    assert report.summary.reason == "the day is over"
    assert report.peak_queries_per_minute == LIMIT
    assert report.unexplained_stall_seconds <= 0.5
    assert report.quiet_use >= 0.95
    # The stranger was there, and was borne with.
    assert report.refused > 4 * hours
    assert report.pauses > hours * 5 / 6
    assert report.summary.pages == report.queries - report.refused
