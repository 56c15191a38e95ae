"""`benchmarks.fleet` in small, and what it finds fault with."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from click.testing import CliRunner

from benchmarks.fleet import judge, main
from gsc_trio.testing.fleet import FleetReport, FleetScenario

GOOD = FleetReport(
    queries=1_000,
    pages=990,
    wrong_days=0,
    committed_again=0,
    refused=0,
    peak_user=1_200,
    peak_site=1_200,
    peak_project=39_600,
    project_use=0.96,
    take_overs=3,
    fenced=9,
    virtual_minutes=60.0,
)


def test_it_finds_fault_with_each_broken_promise() -> None:
    scenario = FleetScenario()
    assert judge(scenario, GOOD) == []
    for change, fault in (
        ({"wrong_days": 1}, "1 days are not as they should be"),
        ({"committed_again": 2}, "2 pages were committed twice"),
        ({"refused": 3}, "3 queries were over a limit"),
        ({"peak_user": 1_201}, "1,201 queries of a user in 60 seconds, the limit is 1,200"),
        ({"peak_project": 40_001}, "40,001 queries of a project in 60 seconds, the limit is"),
        ({"project_use": 0.949}, "only 94.9% of the project's limit were used"),
    ):
        [told] = judge(scenario, attrs.evolve(GOOD, **change))
        assert told.startswith(fault)


def test_it_runs_prints_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    arguments = ["--properties", "66", "--days", "9", "--kills", "0", "--stops", "0"]
    result = CliRunner().invoke(main, [*arguments, "--json", str(path)])
    assert "66 properties × 9 days, 33 users, 8 machines, 0 kills, 0 stops" in result.output
    written = json.loads(path.read_text())
    assert written["report"]["wrong_days"] == written["report"]["refused"] == 0
    assert written["report"]["pages"] == 66 * 9
    assert result.exit_code == (1 if written["faults"] else 0)
