"""Where the files for Grafana and Prometheus are, and what is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

PLAYBOOK = Path(__file__).parents[2] / "playbook"
ALERTS = PLAYBOOK / "prometheus" / "alerts.yaml"
ALERT_TESTS = PLAYBOOK / "prometheus" / "alerts_test.yaml"
PROMETHEUS_CONFIG = PLAYBOOK / "prometheus" / "prometheus.yml"
DASHBOARD = PLAYBOOK / "grafana" / "dashboard.json"


@attrs.frozen
class Query:
    """A PromQL expression, and the text that names its labels."""

    place: str
    expression: str
    text: str

    @property
    def labels_in_text(self) -> set[str]:
        """The labels in a legend or annotation: ``{{quota}}`` or ``{{ $labels.quota }}``."""
        braces = re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)", self.text)
        return set(braces)


def shell_commands(document: str, section: str) -> list[str]:
    """The blocks of shell commands in a section of a document."""
    text = (PLAYBOOK / document).read_text(encoding="utf-8").split(f"## {section}\n", 1)[1]
    return re.findall(r"```sh\n(.*?)```", text.split("\n## ", 1)[0], re.DOTALL)


def rules() -> list[dict[str, Any]]:
    """Every rule of every group."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_rules() -> list[dict[str, Any]]:
    """The rules that alert, without those that reckon something for them."""
    return [rule for rule in rules() if "alert" in rule]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    content: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return content


def panels() -> list[dict[str, Any]]:
    """Its panels; rows are none."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def rule_queries() -> list[Query]:
    """The rules' expressions."""
    return [
        Query(
            rule.get("alert") or rule["record"],
            rule["expr"],
            " ".join(rule.get("annotations", {}).values()),
        )
        for rule in rules()
    ]


def dashboard_queries() -> list[Query]:
    """The panels' expressions."""
    return list(_dashboard_queries())


def _dashboard_queries() -> Iterator[Query]:
    for panel in panels():
        for target in panel["targets"]:
            yield Query(panel["title"], target["expr"], target["legendFormat"])
