"""The harness from end to end, on cassettes of a few days."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from benchmarks import backfill_150, measurement
from benchmarks.latency_model import LatencyModel
from benchmarks.matrix import Selection
from benchmarks.measurement import WrongAnswerError
from benchmarks.program import run_program
from benchmarks.results import load_memory, load_results
from benchmarks.session import Outcome, Plan, measure_workload
from benchmarks.workload import Property, Workload, make_workload
from gsc_trio.cli.failures import first_cause
from gsc_trio.testing import SimulatedProperty, record_simulated, write_cassette

ROOT = Path(__file__).parent.parent.parent
TINY = Property("tiny", 20, distinct_days=10)


def plan_for(workload: Workload, latency_scale: float) -> Plan:
    selection = Selection({5: (2,)}, latency_scale)
    return Plan([(workload, selection)], LatencyModel(), queries_per_minute=1_200, rounds=2)


async def test_every_cell_is_measured_against_its_ideal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workload = make_workload(TINY, tmp_path, days=10)
    plan = plan_for(workload, latency_scale=0.1)
    outcome = await measure_workload(*plan.selections[0], plan)
    sequential, concurrent = outcome.results
    assert (sequential.cell.workers, concurrent.cell.workers) == (1, 2)
    assert sequential.ideal.latency == pytest.approx(10 * (0.35 + 20 * 25e-6) * 0.1)
    assert concurrent.ideal.latency == pytest.approx(sequential.ideal.latency / 2)
    assert 0 < concurrent.efficiency <= 1
    assert concurrent.sequential_seconds == sequential.median >= sequential.ideal.seconds
    assert len(concurrent.seconds) == 2
    assert concurrent.cpu_seconds > 0
    assert outcome.memory[concurrent.cell][-1].megabytes > 10
    assert concurrent.peak_megabytes > 10
    printed = capsys.readouterr().out
    assert "latency scale 0.1" in printed
    assert "all databases are identical" in printed


async def test_rows_that_the_cassette_does_not_hold_are_a_failure(tmp_path: Path) -> None:
    workload = make_workload(TINY, tmp_path, days=3)
    wrong = attrs.evolve(workload, days=[[20], [20], [21]])
    plan = plan_for(wrong, latency_scale=0)
    with pytest.raises(ExceptionGroup) as caught:
        await measure_workload(*plan.selections[0], plan)
    error = first_cause(caught.value)
    assert isinstance(error, WrongAnswerError)
    assert "the cassette holds 61" in str(error)


async def test_a_client_that_hangs_is_ended_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "MAX_SECONDS", 0.01)
    with pytest.raises(WrongAnswerError, match=r"did not end within 0\.01 seconds"):
        await measurement.measure(
            make_workload(TINY, tmp_path, days=3),
            "http://127.0.0.1:1",
            max_concurrency=1,
            batch_size=1,
            queries_per_minute=1_200,
        )


def test_a_cassette_of_ones_own_is_replayed_and_judged(tmp_path: Path) -> None:
    cassette, results = tmp_path / "own.cassette", tmp_path / "results.json"
    end = dt.date(2026, 6, 30)
    simulated = SimulatedProperty("sc-domain:own.example", rows_per_day=10)
    write_cassette(
        record_simulated(simulated, start=end - dt.timedelta(days=19), end=end), cassette
    )
    command = [sys.executable, "-m", "benchmarks.backfill_150", "--cassette", str(cassette)]
    command += ["--workers", "5", "--batch-size", "4", "--latency-scale", "0.3", "--rounds", "1"]
    command += ["--json", str(results), "--results", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert "latency scale 0.3" in done.stdout, done.stderr
    assert "sc-domain:own.example" in done.stdout
    sequential, concurrent = load_results(results)
    assert (sequential.cell.workers, concurrent.cell.workers) == (1, 5)
    assert load_results(tmp_path / "backfill_150.json") == [sequential, concurrent]
    assert json.loads((tmp_path / "machine.json").read_text())["cores"] >= 1
    memory = load_memory(tmp_path / "memory.json")
    assert max(memory.megabytes) == max(sequential.peak_megabytes, concurrent.peak_megabytes)
    # On a busy machine it may well be below: what is said and the exit code agree all the same.
    assert done.returncode == (0 if concurrent.speed_up >= 4 else 1)
    assert ("4×: shown in 1 of 1" in done.stdout) == (done.returncode == 0)


def test_nothing_shown_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Plan) -> list[Outcome]:
        return []

    monkeypatch.setattr(backfill_150, "measure_all", nothing)
    result = CliRunner().invoke(backfill_150.main, ["--fast"], standalone_mode=False)
    assert result.return_value == 1
    assert "nothing was shown" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cassette", "missing.cassette"], "cannot read the cassette"),
        (["--cassette", __file__], "is no cassette"),
        (["--latency-scale", "-1"], "--latency-scale"),
        (["--property", "huge"], "--property"),
        (["--results", "missing/folder"], "missing/folder"),
        (["--json", "missing/folder/file.json"], "missing/folder"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["backfill_150", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_program(backfill_150.main)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_help_says_what_is_measured() -> None:
    result = CliRunner().invoke(backfill_150.main, ["--help"])
    assert result.exit_code == 0
    for words in ("--rigorous", "--parallel-parts", "synchronous=FULL", "Exits with 1"):
        assert words in result.stdout
