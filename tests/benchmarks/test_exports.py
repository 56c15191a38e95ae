"""`benchmarks.exports` in small: it measures what it says and judges as it says."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from benchmarks import exports
from benchmarks.exports import Measured, judge


def test_a_run_measures_everything_and_writes_it_down(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result = CliRunner().invoke(exports.main, ["--rows", "1000", "--json", str(path)])
    assert result.exit_code == 0, result.output
    written = json.loads(path.read_text())
    assert [each["name"] for each in written["stores"]] == ["into sqlite", "into parquet"]
    assert len(written["views"]) == 6
    assert all(each["cpu_seconds"] > 0 for each in written["exports"])


def test_the_verdict() -> None:
    assert judge([Measured("quick", 2.0, 2.0)], {7}, 1_000_000) == []
    assert judge([Measured("slow", 9.0, 6.1)], {7}, 2_000_000) == ["slow takes 6.1 s"]
    assert judge([], {7, 8}, 1) == ["exports do not hold what the database holds: [7, 8] clicks"]
