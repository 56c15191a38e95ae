"""The window's bookkeeping, against the plainest way of counting."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.quota_window import CLOCK_DRIFT, QuotaWindow

LIMIT = 30
HELD = 60 * CLOCK_DRIFT

answers = st.lists(
    st.tuples(st.integers(1, 5), st.floats(-60, 60, allow_nan=False)), min_size=1, max_size=6
)
"""How many queries were answered, and when: in any order, since some are given up."""


@given(answers=answers, now=st.floats(-60, 200, allow_nan=False), wanted=st.integers(1, LIMIT))
def test_permits_come_back_a_window_after_their_answer_in_whatever_order_it_is_told(
    answers: list[tuple[int, float]], now: float, wanted: int
) -> None:
    window = QuotaWindow("site", LIMIT, 60)
    for count, answered_at in answers:
        window.take(count)
        assert window.settle(count, answered_at) == pytest.approx(answered_at + HELD)
    back = sorted(answered_at + HELD for count, answered_at in answers for _ in range(count))
    still_out = [time for time in back if time > now]
    missing = wanted - (LIMIT - len(still_out))
    assert window.available_at(wanted, now) == (still_out[missing - 1] if missing > 0 else now)
    assert window.used(now) == len(still_out)


def test_only_an_answer_can_tell_when_the_permits_of_unanswered_queries_come_back() -> None:
    window = QuotaWindow("site", 3, 60)
    window.take(3)
    window.settle(1, 10)
    assert window.available_at(1, 20) == 10 + HELD
    assert window.available_at(2, 20) == math.inf
    window.put_back(1)
    assert window.available_at(2, 20) == 10 + HELD
