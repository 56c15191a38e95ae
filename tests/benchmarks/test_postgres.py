"""`benchmarks.postgres` in small: it measures what it says and exits as it judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from benchmarks import postgres
from benchmarks.postgres import PostgresResult, Round, faults_of

GOOD = PostgresResult(
    rows=1_000_000, ingest=210_000.0, text_copy=300_000.0, binary_copy=400_000.0, waiting_share=0.1
)


@pytest.mark.parametrize(
    ("figure", "fault"),
    [
        ({"ingest": 99_000.0, "text_copy": 1e5}, "99,000 rows/s < 100,000"),
        ({"text_copy": 400_000.0}, "0.53 of plain COPY < 0.6"),
    ],
)
def test_each_figure_has_its_must(figure: dict[str, Any], fault: str) -> None:
    assert faults_of(GOOD) == []
    assert faults_of(attrs.evolve(GOOD, **figure)) == [fault]


def test_medians_are_what_counts() -> None:
    rounds = [Round(2.0, 1.0, 0.5, 0.1), Round(4.0, 2.0, 1.0, 0.2), Round(99.0, 9.0, 9.0, 0.9)]
    result = PostgresResult.of(1_000, rounds)
    assert (result.ingest, result.text_copy, result.binary_copy) == (250.0, 500.0, 1_000.0)
    assert (result.ratio, result.binary_ratio) == (0.5, 0.25)


@pytest.mark.usefixtures("postgres_server")
def test_a_run_holds_both_tables_against_each_other_and_tells_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "FULL_PAGE_ROWS", 200)
    file = tmp_path / "postgres.json"
    result = CliRunner().invoke(
        postgres.main, ["--days", "2", "--rounds", "1", "--json", str(file)]
    )
    assert "NOT AS IT MUST BE" in result.output, result.output  # so few rows go at no pace
    assert result.exit_code == 1
    assert json.loads(file.read_text())["result"]["rows"] == 800
