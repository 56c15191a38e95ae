"""`benchmarks.rate_limiter` in small: it measures what it says and exits as it judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from benchmarks import rate_limiter
from benchmarks.overhead import Cost, growth, sizes_up_to
from benchmarks.rate_limiter import ONE_BY_ONE, PARALLEL, QuotaUse, Scenario, cost_of, judge
from gsc_trio.testing.virtual_time import run_in_virtual_time

FLAT = [Cost({"batch_size": 1}, 1_000, 0.010), Cost({"batch_size": 1}, 100_000, 1.1)]
QUOTA_USE = QuotaUse(
    batch_size=1, workers=10, parts=PARALLEL, queries=71_000, peak=1_200, demand=100_000
)


def test_cost_and_growth_are_per_item() -> None:
    assert FLAT[0].microseconds == pytest.approx(10)
    assert growth(reversed(FLAT)) == pytest.approx(1.1)
    assert sizes_up_to(50_000) == [1_000, 10_000, 50_000]


@pytest.mark.parametrize("waiting", [0, 1, 7])
@pytest.mark.parametrize("batch_size", [1, 50])
def test_every_scenario_can_be_measured(batch_size: int, waiting: int) -> None:
    cost = cost_of(Scenario(60, batch_size, waiting), 200)
    assert cost.items == 200
    assert 0 < cost.microseconds < 10_000


def test_the_quota_is_used_and_counted_at_the_server() -> None:
    use = run_in_virtual_time(rate_limiter.use_of_quota, 50, 3, PARALLEL)
    assert use.is_bound_by_quota
    assert use.peak == 1_200
    assert 0.97 <= use.share <= 1
    slow = run_in_virtual_time(rate_limiter.use_of_quota, 50, 3, ONE_BY_ONE)
    assert not slow.is_bound_by_quota
    assert slow.share < 0.97


@pytest.mark.parametrize(
    ("use", "fault"),
    [
        ({}, None),
        ({"queries": 69_000}, "quota"),
        ({"queries": 20_000, "demand": 20_000}, None),
        ({"peak": 1_201}, "quota"),
    ],
)
def test_the_verdict_on_the_quota(use: dict[str, Any], fault: str | None) -> None:
    faults = judge([FLAT], FLAT, [attrs.evolve(QUOTA_USE, **use)])
    assert [text for text in faults if fault and fault in text] == faults


def test_the_verdict_on_costs() -> None:
    growing = [FLAT[0], Cost({}, 100_000, 2.0)]
    dear = Cost({}, 10, 0.001)
    (first, second) = judge([growing], [*growing, dear], [QUOTA_USE])
    assert "grows 2.00×" in first
    assert "100 µs" in second


def test_a_run_prints_its_tables_and_writes_them_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "WINDOWS", (60,))
    monkeypatch.setattr(rate_limiter, "QUOTA_USERS", ((50, 3),))
    monkeypatch.setattr(
        rate_limiter, "FLAT_RATIO", 0.0
    )  # so that its verdict does not hang on luck
    path = tmp_path / "result.json"
    result = CliRunner().invoke(rate_limiter.main, ["--largest", "2000", "--json", str(path)])
    assert result.exit_code == 1
    assert "NOT AS IT MUST BE: the cost of a query grows" in result.output
    written = json.loads(path.read_text())
    assert [len(series) for series in written["growing"]] == [2] * 4
    assert len(written["costs"]) == 8
    assert {use["parts"] for use in written["quota"]} == {PARALLEL, ONE_BY_ONE}
    assert len(written["faults"]) >= 4
