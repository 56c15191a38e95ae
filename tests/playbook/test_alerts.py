"""The alert rules: valid, tested by promtool, and each with a section for whoever is on call."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from tests.playbook.files import (
    ALERT_TESTS,
    ALERTS,
    PLAYBOOK,
    PROMETHEUS_CONFIG,
    alert_rules,
    shell_commands,
)

*_, TEST_RULES = shell_commands("TELEMETRY.md", "Prometheus and Grafana")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed: it is in Debian's package prometheus",
)


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        f"promtool check rules --lint=all --lint-fatal {ALERTS}",
        f"promtool check config {PROMETHEUS_CONFIG}",
        TEST_RULES,
    ],
    ids=lambda command: " ".join(command.split()[:3]),
)
def test_promtool_finds_no_fault(command: str) -> None:
    done = subprocess.run(
        shlex.split(command), cwd=PLAYBOOK.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire_by_a_test_of_promtool() -> None:
    tests = yaml.safe_load(ALERT_TESTS.read_text(encoding="utf-8"))["tests"]
    fired = {
        re.sub(r".*alertname=\"(\w+)\".*severity=\"(\w+)\".*", r"\1 \2", sample["labels"])
        for test in tests
        for check in test["promql_expr_test"]
        for sample in check.get("exp_samples", [])
    }
    assert fired == {f"{rule['alert']} {rule['labels']['severity']}" for rule in alert_rules()}


def test_every_alert_says_what_happened_and_leads_to_its_section() -> None:
    on_call = (PLAYBOOK / "ON_CALL.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^### (GscTrio\w+)$", on_call, re.MULTILINE))
    assert sections == {rule["alert"] for rule in alert_rules()}
    for rule in alert_rules():
        assert rule["labels"]["severity"] in {"page", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        expected = f"playbook/ON_CALL.md#{rule['alert'].lower()}"
        assert rule["annotations"]["runbook_url"] == expected
