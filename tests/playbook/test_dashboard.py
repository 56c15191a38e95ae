"""The dashboard: what Grafana takes, and no panel without a meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.playbook.files import alert_rules, dashboard, panels


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """What of ours is missing or another in theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from differences(value, theirs[key], f"{path}/{key}")
            else:
                yield f"{path}/{key} is unknown"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(one, other, f"{path}/{number}")
    elif ours != theirs:
        yield f"{path} is {ours!r}, read as {theirs!r}"


def read_by_grafana(content: dict[str, Any]) -> Any:
    """Through Grafana's own types and back: what they do not know is lost."""
    register_default_plugins()
    model = Dashboard.from_json(json.loads(json.dumps(content)))
    return json.loads(json.dumps(model, cls=JSONEncoder))


def test_grafana_knows_every_field() -> None:
    assert list(differences(dashboard(), read_by_grafana(dashboard()))) == []


def test_a_field_that_grafana_does_not_know_is_noticed() -> None:
    broken = dashboard()
    panel = next(each for each in broken["panels"] if each["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 3
    panel["targets"][0]["legend"] = "x"
    assert len(list(differences(broken, read_by_grafana(broken)))) == 2


def test_the_rows_are_those_of_a_run() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == ["Quota", "Pipeline", "Persistence", "Errors"]


def test_panels_lie_side_by_side_on_the_grid() -> None:
    boxes = [panel["gridPos"] for panel in dashboard()["panels"]]
    assert all(box["x"] >= 0 and box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    identifiers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(identifiers)) == len(identifiers)


def test_every_panel_says_what_it_shows_in_which_unit_from_the_chosen_source() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)
        for target in panel["targets"]:
            assert 'job=~"$job", instance=~"$instance"' in target["expr"]
    variables = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert variables == ["datasource", "job", "instance"]


def test_the_lines_in_the_panels_are_the_thresholds_of_the_alerts() -> None:
    drawn = {
        (panel["title"], step["value"])
        for panel in panels()
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if step["value"] is not None
    }
    assert drawn == {
        ("Use of the quota", 0.8),
        ("Use of the quota", 0.92),
        ("Queue depth", 500),
        ("Queue depth", 800),
        ("Batch duration", 5),
        ("Time per query", 1),
        ("Since the last commit", 600),
        ("Retry ratio", 0.1),
        ("Halt duration", 5),
    }
    expressions = " ".join(rule["expr"] for rule in alert_rules())
    for _, value in drawn:
        assert any(text in expressions for text in (f" {value}", f" {value:.2f}")), value
