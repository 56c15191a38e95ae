"""The charts: drawn from result files, the same bytes for the same figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.charts import draw, main
from benchmarks.matrix import Cell
from benchmarks.results import CellResult, as_suite
from gsc_trio.errors import UsageError
from gsc_trio.rollout.ideal import Ideal

STAGES = '{"stages": {"network": 3.1, "gunzip": 9.2, "insert": 38.9}, "rows_per_second": 1}'
MEMORY = '{"run": "full, 10 workers", "seconds": [0, 0.1], "megabytes": [60, 90.5]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    results = [
        CellResult(
            workload=workload,
            cell=Cell(workers, batch_size),
            latency_scale=0.4,
            ideal=Ideal(60 / workers, 0, 5),
            seconds=[64 / workers + 1],
            sequential_seconds=65,
            sequential_ideal=Ideal(60, 0, 5),
            cpu_seconds=10,
            peak_megabytes=90.5,
            waiting_share=0.1,
        )
        for workload in ("small", "full")
        for batch_size in (1, 50)
        for workers in (1, 5, 20)
    ]
    for name in ("backfill_150.json", "backfill_150_parallel_parts.json"):
        as_suite(results, {}, {}).dump(str(tmp_path / name))
    (tmp_path / "ingest.json").write_text(STAGES)
    (tmp_path / "memory.json").write_text(MEMORY)
    return tmp_path


def test_each_result_file_has_its_charts_and_they_are_the_same_every_time(folder: Path) -> None:
    paths = draw(folder)
    assert {path.name for path in paths} == {
        *("speed_up.svg", "efficiency.svg", "stages.svg", "memory.svg"),
        *("speed_up_parallel_parts.svg", "efficiency_parallel_parts.svg"),
    }
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw(folder)] == before
    for content in before:
        assert content.startswith(b"<?xml")
        assert not re.search(rb"<dc:date>|/home|/root|/tmp", content)


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "ingest.json").write_text(STAGES)
    result = CliRunner().invoke(main, [str(tmp_path)], standalone_mode=False)
    assert result.output.split() == [str(tmp_path / "stages.svg")]


@pytest.mark.parametrize("name", ["ingest.json", "memory.json", "backfill_150.json"])
@pytest.mark.parametrize("content", ["no JSON", "{}", '{"seconds": []}'])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=name):
        draw(tmp_path)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="measure something first"):
        draw(tmp_path)
