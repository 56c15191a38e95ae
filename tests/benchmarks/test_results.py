"""Figures, verdicts, and the result file."""

from __future__ import annotations

from pathlib import Path

import pyperf
import pytest

from benchmarks.ideal import Ideal
from benchmarks.matrix import FAST, RIGOROUS, Cell, selected
from benchmarks.report import HEAD, judge, table_line
from benchmarks.results import CellResult, as_suite, load_results


def result(
    workers: int, seconds: float, ideal_seconds: float, sequential: float = 100
) -> CellResult:
    return CellResult(
        workload="tiny",
        cell=Cell(workers, 50),
        latency_scale=0.2,
        ideal=Ideal(latency=ideal_seconds, quota=0, processor=0.5),
        seconds=[seconds, seconds * 3, seconds / 2],
        sequential_seconds=sequential,
        cpu_seconds=1.5,
        peak_megabytes=64.0,
    )


def test_figures_are_ratios_of_medians() -> None:
    one = result(workers=5, seconds=25, ideal_seconds=20)
    assert (one.median, one.speed_up, one.possible_speed_up, one.efficiency) == (25, 4, 5, 0.8)


@pytest.mark.parametrize(
    ("cells", "is_good", "words"),
    [
        ([result(5, 24, 20)], True, "at least 4× as fast in all 1 cells"),
        ([result(5, 24, 20), result(5, 26, 20)], False, "1 of 2 cells with 5 workers are below 4×"),
        ([result(5, 30, 26)], False, "nothing was shown"),
        ([result(5, 24, 20), result(5, 30, 26)], True, "all 1 cells that allow it"),
        ([result(3, 10, 9), result(10, 90, 9)], False, "nothing was shown"),
    ],
)
def test_five_workers_are_judged_where_the_ideal_allows_it(
    cells: list[CellResult], is_good: bool, words: str
) -> None:
    verdict = judge(cells)
    assert verdict.is_good == is_good
    assert words in verdict.text


def test_a_line_says_what_is_missed_and_what_is_impossible() -> None:
    assert len(table_line(result(3, 40, 34))) == len(HEAD)
    assert table_line(result(5, 26, 20)).endswith("BELOW 4×")
    assert table_line(result(5, 30, 26)).endswith("4× is impossible here")
    assert table_line(result(10, 11, 10)).endswith("64 MB")
    assert table_line(result(10, 13, 10)).endswith("BELOW 8×")


def test_the_result_file_is_pyperfs_and_is_read_again(tmp_path: Path) -> None:
    results = [result(1, 100, 95), result(5, 24.123, 20)]
    notes = {"latency_model": "350 ms a call"}
    as_suite(results, {"cores": 2}, notes).dump(str(tmp_path / "results.json"))
    benchmarks = pyperf.BenchmarkSuite.load(str(tmp_path / "results.json")).get_benchmarks()
    assert [benchmark.get_name() for benchmark in benchmarks] == [
        "tiny, 1 worker, batches of 50",
        "tiny, 5 workers, batches of 50",
    ]
    assert benchmarks[1].median() == 24.123
    assert benchmarks[1].get_metadata()["latency_model"] == "350 ms a call"
    assert "hostname" not in benchmarks[1].get_metadata()
    assert load_results(tmp_path / "results.json") == results


def test_every_selection_begins_each_batch_size_with_the_sequential_path() -> None:
    for selection in [*FAST.values(), *RIGOROUS.values()]:
        seen = set()
        for cell in selection.cells():
            assert cell.is_sequential == (cell.batch_size not in seen)
            seen.add(cell.batch_size)
        assert any(Cell(5, size) in selection.cells() for size in seen)


def test_the_whole_matrix_is_measured_rigorously() -> None:
    cells = {(cell.workers, cell.batch_size) for cell in RIGOROUS["full"].cells()}
    assert cells == {(workers, size) for workers in (1, 2, 3, 5, 10, 20) for size in (1, 10, 50)}
    assert list(RIGOROUS) == ["small", "middle", "full"]


def test_a_selection_can_be_narrowed() -> None:
    narrowed = selected(RIGOROUS["full"], [10], [20, 1, 5], 1.0)
    assert narrowed.cells() == [Cell(1, 10), Cell(20, 10), Cell(5, 10)]
    assert narrowed.latency_scale == 1.0
    assert selected(RIGOROUS["full"], [10], [1], None).cells() == [Cell(1, 10)]
    assert selected(FAST["small"], [], [], None) == FAST["small"]
