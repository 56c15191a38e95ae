"""`benchmarks.many_properties` in small: it measures what it says and judges as it says."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
from click.testing import CliRunner

from benchmarks.many_properties import CACHE_MEGABYTES, IDLE, NEW_DAYS, Cost, judge, main

SMALL = Cost(IDLE, 100, 0, 1.0, 0.5, 60.0, 60.0, 0)
FINE = [
    SMALL,
    attrs.evolve(
        SMALL, properties=5_000, resident_megabytes=65.0, peak_megabytes=60.0 + CACHE_MEGABYTES
    ),
    attrs.evolve(SMALL, kind=NEW_DAYS, days_fetched=200),
    attrs.evolve(SMALL, kind=NEW_DAYS, properties=5_000, days_fetched=10_000),
]


def test_flat_memory_and_complete_properties_are_fine_and_all_else_is_told() -> None:
    assert judge(FINE, 2) == []
    grown = [FINE[0], attrs.evolve(FINE[1], resident_megabytes=67.0), *FINE[2:]]
    assert judge(grown, 2) == ["idle: 5,000 properties take 67.0 MB at the end, 100 take 60.0"]
    peak = 1.1 * (60 + CACHE_MEGABYTES) + 1
    [fault] = judge([FINE[0], attrs.evolve(FINE[1], peak_megabytes=peak), *FINE[2:]], 2)
    assert "at the peak" in fault
    [fault] = judge([*FINE[:3], attrs.evolve(FINE[3], failed=1)], 2)
    assert fault.startswith("new days, 5,000 properties: 1 are not complete")
    [fault] = judge([*FINE[:3], attrs.evolve(FINE[3], days_fetched=9_999)], 2)
    assert "9,999 of 10,000 days" in fault


def test_it_measures_each_kind(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    arguments = ["--properties", "5", "--stored-days", "4"]
    result = CliRunner().invoke(main, [*arguments, "--new-days", "2", "--json", str(results)])
    assert result.exit_code == 0, result.output
    costs = json.loads(results.read_text())["costs"]
    assert [(each["kind"], each["properties"], each["days_fetched"]) for each in costs] == [
        (IDLE, 5, 0),
        (NEW_DAYS, 5, 10),
    ]
    assert all(each["seconds"] > 0 and each["peak_megabytes"] > 20 for each in costs)
