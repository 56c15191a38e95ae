"""`benchmarks.ingest` in small: it measures what it says and exits as it judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from benchmarks import ingest
from benchmarks.ingest import IngestResult, faults_of
from benchmarks.stages import measure_stages
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing import RecordedAnswer
from gsc_trio.testing.spliced_gzip import deflate

GOOD = IngestResult(
    workers=3,
    batch_size=50,
    rows_per_second=310_000.0,
    lag_p50_milliseconds=1.0,
    lag_p99_milliseconds=12.0,
    peak_megabytes=180.0,
    cpu_milliseconds_per_page=70.0,
    waiting_share=0.1,
)


@pytest.mark.parametrize(
    ("figure", "fault"),
    [
        ({"rows_per_second": 299_000.0}, "3 workers, batches of 50: 299,000 rows/s < 300,000"),
        ({"lag_p99_milliseconds": 51.0}, "3 workers, batches of 50: the event loop is 51 ms late"),
        ({"peak_megabytes": 300.0}, "3 workers, batches of 50: 300 MB ≥ 300 MB"),
    ],
)
def test_each_figure_has_its_must(figure: dict[str, Any], fault: str) -> None:
    assert faults_of(GOOD) == []
    assert faults_of(attrs.evolve(GOOD, **figure)) == [fault]


def test_stages_and_network_make_up_the_whole(tmp_path: Path) -> None:
    rows = [
        {"keys": [f"https://example.com/{number}", "query"], "clicks": 1, "impressions": 2}
        for number in range(500)
    ]
    body = deflate(json.dumps({"rows": rows}, separators=(",", ":")).encode())
    answers = [RecordedAnswer(200, {}, 500, body)] * 4
    query = SearchAnalyticsQuery("sc-domain:example.com")
    costs = measure_stages(answers, query, tmp_path, milliseconds_per_page=1_000)
    assert costs.total == pytest.approx(1_000)
    assert min(attrs.astuple(costs)) > 0
    assert measure_stages(answers, query, tmp_path, milliseconds_per_page=0).network == 0


def test_a_run_tells_its_figures_and_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MUST_ROWS_PER_SECOND", 10**9)
    path = tmp_path / "ingest.json"
    command = ["--days", "1", "--pages-per-day", "1", "--rounds", "1", "--workers", "2"]
    result = CliRunner().invoke(ingest.main, [*command, "--json", str(path)])
    assert result.exit_code == 1
    assert "rows/s < 1,000,000,000" in result.output
    figures = json.loads(path.read_text())
    assert list(figures["stages"]) == [
        "network",
        "gunzip",
        "split",
        "decode",
        "hand-over",
        "insert",
    ]
    [setting] = figures["results"]
    assert 0 < setting["lag_p50_milliseconds"] <= setting["lag_p99_milliseconds"]
    assert setting["peak_megabytes"] > 20
