"""`benchmarks.telemetry` in small: it measures what it says and judges as it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from benchmarks import telemetry
from benchmarks.comparison import Content
from benchmarks.measurement import Measurement
from benchmarks.telemetry import MUST, Overhead, faults_of, overheads_of

ROOT = Path(__file__).parents[2]


def measurement(seconds: float, cpu_seconds: float) -> Measurement:
    return Measurement(seconds, cpu_seconds, 0.0, Content("", 0), [], [])


def test_overhead_is_taken_within_rounds_and_its_median_counts() -> None:
    rounds = [
        {
            "stubbed": measurement(10.0 * pace, 1.0),
            "off": measurement(10.0 * pace, 1.02),
            "on": measurement(10.5 * pace, cpu_seconds),
        }
        for pace, cpu_seconds in ((1.0, 1.1), (3.0, 9.9), (1.0, 1.1))
    ]
    on, off = overheads_of("small", 0.2, rounds)
    assert (on.mode, off.mode) == tuple(MUST)
    assert on.wall_share == pytest.approx(0.05)
    assert on.cpu_share == pytest.approx(0.01)
    assert off.wall_share == 0
    assert off.cpu_share == pytest.approx(0.002)
    assert on.stubbed_seconds == 10.0


def test_what_costs_too_much_is_a_fault_where_there_is_latency() -> None:
    good = Overhead("small", 0.2, "on", 0.5, 0.0199, 1.0)
    assert faults_of([good]) == []
    dear = attrs.evolve(good, cpu_share=0.02)
    assert faults_of([dear]) == ["small: telemetry on costs 2.00% ≥ 2.0%"]
    assert faults_of([attrs.evolve(dear, latency_scale=0.0)]) == []
    assert faults_of([attrs.evolve(good, mode="off", cpu_share=0.006)])


STUBBED = """
from benchmarks.watched import watched
from gsc_trio.config import Settings
from gsc_trio.testing import run_in_virtual_time
from gsc_trio.telemetry.instrument import Instruments
from tests.telemetry.runs import Recorder, fake_with_faults, run_with

told = Recorder()
with watched("stubbed", Settings()):
    summary = run_in_virtual_time(lambda: run_with([told], fake_with_faults()))
assert summary.status == "complete" and summary.rows and summary.days == 12
print(*sorted({type(event).__name__ for event in told.events}))
"""


def test_stubbed_out_only_what_the_summary_counts_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUBBED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["DayCompleted", "PageCommitted", "RequestSent"]


def test_a_run_prints_its_table_and_writes_it_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MUST, "on", -1e9)
    path = tmp_path / "telemetry.json"
    options = ["--property", "small", "--days", "1", "--rounds", "1", "--latency-scale", "0.1"]
    result = CliRunner().invoke(telemetry.main, [*options, "--json", str(path)])
    assert result.exit_code == 1
    assert "NOT AS IT MUST BE: small: telemetry on costs" in result.output
    written = json.loads(path.read_text())["overheads"]
    assert [each["mode"] for each in written] == ["on", "off"]
    assert all(each["stubbed_seconds"] > 0.035 for each in written)
