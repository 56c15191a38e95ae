from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_trio.report.quantiles import LARGEST_SECONDS, SMALLEST_SECONDS, Durations, Quantiles

DURATIONS = st.lists(st.floats(SMALLEST_SECONDS, LARGEST_SECONDS), min_size=1, max_size=200)


def counted(seconds: Sequence[float]) -> Durations:
    durations = Durations()
    for each in seconds:
        durations.add(each)
    return durations


@settings(deadline=None)
@given(DURATIONS)
def test_a_quantile_is_at_most_one_per_cent_beside_the_exact_one(seconds: list[float]) -> None:
    found = counted(seconds).quantiles()
    in_order = sorted(seconds)
    for share, quantile in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        exact = in_order[math.ceil(share * len(seconds)) - 1]
        assert quantile == pytest.approx(exact, rel=0.0101, abs=1e-4)
    assert found.longest == pytest.approx(max(seconds), abs=1e-4)
    assert found.count == len(seconds)


@settings(deadline=None)
@given(DURATIONS, DURATIONS)
def test_merging_counts_what_both_counted(some: list[float], others: list[float]) -> None:
    merged = counted(some)
    merged.merge(counted(others))
    assert merged.quantiles() == counted([*some, *others]).quantiles()


def test_memory_does_not_grow_with_the_number_of_durations() -> None:
    durations = counted([1.0001**number * 1e-6 for number in range(260_000)])
    assert len(durations._counts) <= 940
    assert durations.quantiles().count == 260_000


def test_what_took_equally_long_can_be_counted_together() -> None:
    durations = Durations()
    durations.add(0.2, 99)
    durations.add(5.0)
    found = durations.quantiles()
    assert (found.count, found.longest) == (100, 5.0)
    assert found.p99 == pytest.approx(0.2, rel=0.01)


def test_of_nothing_there_is_nothing() -> None:
    assert Durations().quantiles() == Quantiles()
