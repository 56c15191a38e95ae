"""`benchmarks.coordinator` in small: it measures what it says and exits as it judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import coordinator
from benchmarks.coordinator import ALONE, WITH_WORKERS, Scenario, cost_of, judge
from benchmarks.overhead import Cost


@pytest.mark.parametrize("workers", [1, 7])
@pytest.mark.parametrize("batch_size", [1, 50])
@pytest.mark.parametrize("parts", [ALONE, WITH_WORKERS])
def test_every_scenario_delivers_every_job(parts: str, batch_size: int, workers: int) -> None:
    cost = cost_of(Scenario(parts, workers, batch_size), 300)
    assert cost.items == 300
    assert 0 < cost.microseconds < 10_000


def test_the_verdict() -> None:
    flat = [Cost({}, 1_000, 0.020), Cost({}, 100_000, 2.1)]
    assert judge([flat], flat) == []
    growing = [flat[0], Cost({}, 100_000, 8.0)]
    assert judge([growing], growing) == ["the cost of a job grows 4.00× in {}"]
    assert judge([], [Cost({"workers": 3}, 10, 0.001)]) == ["a job takes 100 µs in {'workers': 3}"]


def test_a_run_prints_its_tables_and_writes_them_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "FLAT_RATIO", 0.0)  # so that its verdict does not hang on luck
    path = tmp_path / "result.json"
    options = ["--largest", "2000", "--profile", "--json", str(path)]
    result = CliRunner().invoke(coordinator.main, options)
    assert result.exit_code == 1
    assert "NOT AS IT MUST BE: the cost of a job grows" in result.output
    assert "gsc_trio.coordinator" in result.output
    written = json.loads(path.read_text())
    assert [[cost["items"] for cost in series] for series in written["growing"]] == [
        [1_000, 2_000],
        [1_000, 2_000],
    ]
    assert len(written["costs"]) == 16
