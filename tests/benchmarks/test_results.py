"""Figures, verdicts, and the result file."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pyperf
import pytest

from benchmarks.matrix import FAST, RIGOROUS, Cell, selected
from benchmarks.report import HEAD, judge, table_line
from benchmarks.results import CellResult, as_suite, load_results
from gsc_trio.rollout.ideal import Ideal


def result(workers: int, seconds: float, ideal_seconds: float) -> CellResult:
    """A cell that takes so long, beside a sequential path of 100 s whose ideal is 95 s."""
    return CellResult(
        workload="tiny",
        cell=Cell(workers, 50),
        latency_scale=0.2,
        ideal=Ideal(latency=ideal_seconds, quota=0, processor=0.5),
        seconds=[seconds, seconds * 3, seconds / 2],
        sequential_seconds=100,
        sequential_ideal=Ideal(latency=95, quota=0, processor=0.5),
        cpu_seconds=1.5,
        peak_megabytes=64.0,
        waiting_share=0.123,
    )


def test_figures_are_ratios_of_medians() -> None:
    one = result(workers=5, seconds=25, ideal_seconds=20)
    assert (one.median, one.speed_up, one.possible_speed_up, one.efficiency) == (
        25, 4, 4.75, 0.8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "is_good", "words"),
    [
        ([result(5, 24, 20)], True, "5 workers, ≥ 4×: shown in 1 of 1 cells that allow it"),
        ([result(5, 24, 20), result(5, 26, 20)], False, "shown in 1 of 2 cells that allow it"),
        ([result(5, 26, 20)], False, "the least is 3.85× of 4.75× (tiny, 5 workers"),
        ([result(5, 30, 26)], False, "5 workers, ≥ 4×: nothing was shown"),
        ([result(5, 24, 20), result(5, 30, 26)], True, "; impossible in 1 more"),
        ([result(3, 10, 9), result(10, 90, 9)], False, "nothing was shown"),
        ([result(5, 24, 20), result(10, 13, 10)], True, "10 workers, ≥ 8×: shown in 0 of 1"),
        ([result(3, 40, 34)], False, "default settings, ≥ 90% of the ideal: 85% (tiny)"),
    ],
)
def test_what_was_asked_for_is_judged_where_the_ideal_allows_it(
    cells: list[CellResult], is_good: bool, words: str
) -> None:
    verdict = judge(cells)
    assert verdict.is_good == is_good
    assert words in verdict.text


def test_a_line_says_what_is_missed_and_what_is_impossible() -> None:
    assert len(table_line(result(3, 40, 34))) == len(HEAD)
    assert table_line(result(3, 40, 34)).endswith(" 12%")
    assert table_line(attrs.evolve(result(3, 40, 34), waiting_share=math.nan)).endswith("MB     –")
    assert table_line(result(5, 26, 20)).endswith("BELOW 4×")
    assert table_line(result(5, 30, 26)).endswith("4× is impossible here")
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
