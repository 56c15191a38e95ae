"""The ideals, worked out by hand and held against every schedule of small cases."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.ideal import latency_bound
from benchmarks.latency_model import LatencyModel
from gsc_trio.rollout.ideal import Ideal, makespan_bound, quota_bound

SECOND_A_CALL = LatencyModel(seconds_per_call=1, seconds_per_row=0)
IN_PARALLEL = LatencyModel(seconds_per_call=1, seconds_per_row=0, parallel_parts=True)


@pytest.mark.parametrize(
    ("calls", "workers", "seconds"),
    [
        (150, 1, 150),
        (150, 5, 30),
        (150, 10, 15),
        (150, 20, 8),  # seven and a half calls a worker: some have eight
        (4, 5, 1),
        (1, 1, 1),
    ],
)
def test_equal_calls_take_the_rounds_that_they_need(
    calls: int, workers: int, seconds: float
) -> None:
    assert latency_bound([[0]] * calls, SECOND_A_CALL, workers, 50) == seconds


def test_a_days_calls_follow_each_other() -> None:
    assert latency_bound([[25_000, 25_000, 0]], SECOND_A_CALL, 20, 1) == 3


def test_rows_and_scale_count() -> None:
    model = LatencyModel(seconds_per_call=0.35, seconds_per_row=25e-6, scale=0.5)
    assert model.seconds(25_000) == pytest.approx(0.4875)
    # 150 days of a full property in turn: 450 calls and 7.5 million rows.
    days = [[25_000, 25_000, 0]] * 150
    assert latency_bound(days, model, 1, 50) == pytest.approx((450 * 0.35 + 187.5) * 0.5)


@pytest.mark.parametrize(
    ("batch_size", "workers", "seconds"),
    [(1, 1, 150), (50, 1, 3), (50, 2, 2), (50, 5, 1), (10, 5, 3), (10, 4, 4)],
)
def test_parallel_parts_take_a_batch_at_a_time(
    batch_size: int, workers: int, seconds: float
) -> None:
    assert latency_bound([[0]] * 150, IN_PARALLEL, workers, batch_size) == seconds


def test_in_parallel_the_slowest_part_counts_and_days_still_follow_themselves() -> None:
    model = LatencyModel(seconds_per_call=1, seconds_per_row=1, parallel_parts=True)
    # Two batches of two: the long calls together (5 s), the short ones together (1 s).
    assert latency_bound([[4], [0], [4], [0]], model, 1, 2) == 6
    assert latency_bound([[4, 0], [4, 0]], model, 2, 2) == 6


def shortest(durations: list[int], workers: int) -> int:
    """The shortest makespan, by trying every assignment."""
    choices = itertools.product(range(workers), repeat=len(durations))
    return min(
        max(
            sum(one for one, chosen in zip(durations, choice, strict=True) if chosen == worker)
            for worker in range(workers)
        )
        for choice in choices
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_no_schedule_beats_the_bound(durations: list[int], workers: int) -> None:
    bound = makespan_bound(sorted(durations, reverse=True), workers)
    assert bound <= shortest(durations, workers)
    assert bound >= max(*durations, sum(durations) / workers)


@pytest.mark.parametrize(
    ("calls", "seconds"), [(0, 0), (1, 0), (1_200, 0), (1_201, 60), (2_401, 120)]
)
def test_the_quota_lets_so_many_through_a_minute(calls: int, seconds: float) -> None:
    assert quota_bound(calls, 1_200) == seconds


def test_the_largest_bound_is_the_ideal() -> None:
    assert (Ideal(3, 1, 2).seconds, Ideal(3, 1, 2).bound_by) == (3, "latency")
    assert Ideal(3, 60, 2).bound_by == "quota"
    assert Ideal(3, 0, 4).bound_by == "processor"


def test_the_model_says_what_it_is() -> None:
    assert str(LatencyModel(scale=0.2)) == (
        "350 ms a call plus 25 µs a row, the parts of a batch one after another, latency scale 0.2"
    )
    assert "in parallel" in str(IN_PARALLEL)
