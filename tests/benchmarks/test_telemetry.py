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
from benchmarks.telemetry import (
    MUST,
    Overhead,
    faults_of,
    overheads_of,
    record_events,
    work_seconds,
)
from benchmarks.watched import MODES
from benchmarks.workload import PROPERTIES, make_workload
from gsc_trio.telemetry.events import (
    PageCommitted,
    QuotaUsed,
    RequestFinished,
    RunFinished,
    RunStarted,
)
from gsc_trio.testing import (
    FakeSearchConsole,
    read_cassette,
    recorded_properties,
    serve_fake_search_console,
)

ROOT = Path(__file__).parents[2]


def measurement(seconds: float) -> Measurement:
    return Measurement(seconds, 0.0, 0.0, Content("", 0), [], [])


def test_overhead_is_taken_within_rounds_and_its_median_counts() -> None:
    rounds = [
        {
            "stubbed": measurement(10.0 * pace),
            "off": measurement(10.0 * pace),
            "on": measurement(10.0 * pace * slower),
        }
        for pace, slower in ((1.0, 1.05), (3.0, 9.0), (1.0, 1.01))
    ]
    work = {"stubbed": 0.1, "off": 0.12, "on": 0.2}
    on, off = overheads_of("small", rounds, work)
    assert (on.mode, off.mode) == tuple(MUST)
    assert on.wall_shares == pytest.approx([0.01, 0.05, 8.0])
    assert on.wall_share == pytest.approx(0.05)
    assert on.work_share == pytest.approx(0.01)
    assert off.wall_share == 0
    assert off.work_share == pytest.approx(0.002)
    assert on.stubbed_seconds == 10.0


def test_what_costs_too_much_is_a_fault() -> None:
    good = Overhead("small", "on", 1.0, [0.0199, 0.5], 0.0199)
    assert faults_of([good]) == []
    assert faults_of([attrs.evolve(good, work_seconds=0.02)]) == [
        "small: telemetry on costs work of 2.00% ≥ 2.0%"
    ]
    assert faults_of([attrs.evolve(good, wall_shares=[0.03, 0.04])]) == [
        "small: telemetry on costs wall time of 3.00% and more ≥ 2.0%"
    ]
    assert faults_of([attrs.evolve(good, mode="off", work_seconds=0.006)])


async def test_every_event_of_a_run_is_made_and_handled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REPLAYS", 3)
    workload = make_workload(PROPERTIES["small"], tmp_path, 2)
    fake = FakeSearchConsole(recorded_properties(read_cassette(workload.path)))
    async with serve_fake_search_console(fake) as api_root:
        recorder = await record_events(workload, api_root)
    kinds = [kind for kind, _ in recorder.recipes]
    assert kinds.count(RunStarted) == kinds.count(RunFinished) == 1
    assert kinds.count(PageCommitted) == 2
    assert QuotaUsed in kinds
    assert RequestFinished in kinds
    stubbed, off, on = [await work_seconds(recorder, mode) for mode in MODES]
    assert 0 < stubbed < off < on < 0.5


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
    monkeypatch.setattr(telemetry, "REPLAYS", 1)
    path = tmp_path / "telemetry.json"
    options = ["--property", "small", "--days", "1", "--rounds", "1", "--latency-scale", "0.1"]
    result = CliRunner().invoke(telemetry.main, [*options, "--json", str(path)])
    assert result.exit_code == 1
    assert "NOT AS IT MUST BE: small: telemetry on costs" in result.output
    written = json.loads(path.read_text())["overheads"]
    assert [each["mode"] for each in written] == ["on", "off"]
    assert all(each["stubbed_seconds"] > 0.035 for each in written)
