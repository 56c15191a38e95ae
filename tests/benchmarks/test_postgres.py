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
    rows=1_000_000, copy_rows_per_second=300_000.0, ingest_rows_per_second=210_000.0,
    waiting_share=0.1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("figure", "fault"),
    [
        ({"ingest_rows_per_second": 99_000.0, "copy_rows_per_second": 1e5}, "99,000 rows/s < 100"),
        ({"copy_rows_per_second": 400_000.0}, "0.53 of plain COPY < 0.6"),
    ],
)
def test_each_figure_has_its_must(figure: dict[str, Any], fault: str) -> None:
    assert faults_of(GOOD) == []
    [found] = faults_of(attrs.evolve(GOOD, **figure))
    assert fault in found


def test_medians_are_what_counts() -> None:
    rounds = [Round(1.0, 2.0, 0.1), Round(2.0, 4.0, 0.2), Round(9.0, 99.0, 0.9)]
    result = PostgresResult.of(1_000, rounds)
    assert (result.copy_rows_per_second, result.ingest_rows_per_second) == (500.0, 250.0)
    assert result.ratio == 0.5


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
