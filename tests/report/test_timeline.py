from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsc_trio.report.series import make_series
from gsc_trio.report.timeline import MAX_SLOTS, Timeline

DAY_SECONDS = 86_400.0

MOMENTS = st.lists(st.floats(0, 30 * DAY_SECONDS), min_size=1, max_size=60).map(sorted)


@settings(deadline=None)
@given(MOMENTS)
def test_however_long_a_run_is_nothing_is_lost_and_slots_are_few(moments: list[float]) -> None:
    timeline = Timeline()
    for number, moment in enumerate(moments):
        slot = timeline.at(moment)
        slot.rows += 10
        slot.in_flight.set(number)
        slot.latencies.add(0.5)
    series = make_series(timeline)
    assert len(series.rows) <= MAX_SLOTS
    assert sum(series.rows) == 10 * len(moments)
    assert max(series.in_flight) == series.in_flight[-1] == len(moments) - 1
    assert series.slot_seconds <= 0.1 or len(series.rows) > MAX_SLOTS / 2


def test_slots_that_merge_keep_the_highest_level_and_the_last() -> None:
    timeline = Timeline()
    timeline.at(0.0).queue_depth.set(7)
    timeline.at(0.0).queue_depth.set(3)
    timeline.at(0.15).queue_depth.set(2)
    timeline.at(0.1 * MAX_SLOTS)
    series = make_series(timeline)
    assert series.slot_seconds == 0.2
    assert series.queue_depth[:3] == [7, 2, 2]


def test_a_level_holds_until_another_one_is_told() -> None:
    timeline = Timeline()
    timeline.at(0.1).in_flight.set(50)
    timeline.at(0.55).in_flight.set(20)
    timeline.at(0.65)
    assert make_series(timeline).in_flight == [0, 50, 50, 50, 50, 50, 20]


def test_memory_was_not_nothing_before_it_was_measured() -> None:
    timeline = Timeline()
    timeline.at(0.35).resident_bytes.set(100)
    assert make_series(timeline).resident_bytes == [100] * 4


@settings(deadline=None)
@given(st.floats(0, 1_000), st.floats(0, 5_000), st.floats(0, DAY_SECONDS))
def test_a_pause_is_as_long_as_it_was_and_where_it_was(
    begin: float, length: float, later: float
) -> None:
    timeline = Timeline()
    timeline.add_pause(begin, begin + length)
    timeline.at(begin + length + later)
    series = make_series(timeline)
    assert sum(series.paused_seconds) == pytest.approx(length, abs=0.001 * MAX_SLOTS)
    for number, paused in enumerate(series.paused_seconds):
        assert paused <= series.slot_seconds + 0.001
        if paused:
            slot_begin = number * series.slot_seconds
            assert slot_begin <= begin + length
            assert slot_begin + series.slot_seconds >= begin


def test_latencies_are_told_in_few_points() -> None:
    timeline = Timeline()
    for number in range(1_000):
        timeline.at(number).latencies.add(0.1 if number < 500 else 2.0)
    points = make_series(timeline).latencies
    assert len(points) <= 40
    assert [point.p50 for point in points[:5]] == pytest.approx([0.1] * 5, rel=0.01)
    assert points[-1].p99 == pytest.approx(2.0, rel=0.01)
