"""No dead panel and no deaf alert: what they ask for is what a run exports, and all of it."""

from __future__ import annotations

import re

import pytest

from tests.playbook.exported import exported_families
from tests.playbook.files import Query, dashboard, dashboard_queries, rule_queries, rules
from tests.playbook.promql import label_values, metrics_and_labels

UNUSED: set[str] = set()
"""Metrics that no panel shows, on purpose."""

OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds when it scrapes."""

QUERIES = dashboard_queries() + rule_queries()


def exported_labels() -> dict[str, frozenset[str]]:
    """By the name of a series."""
    series = {
        name: family.labels for family in exported_families().values() for name in family.samples
    }
    for rule in rules():
        if "record" in rule:
            # What is summed up by Prometheus's labels has no others any more.
            is_summed_up = "sum by (job, instance)" in rule["expr"]
            behind = [] if is_summed_up else metrics_and_labels(rule["expr"])
            series[rule["record"]] = frozenset[str]().union(*(series[each] for each in behind))
    return series


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_panels_and_rules_name_series_and_labels_that_a_run_exports(query: Query) -> None:
    known = exported_labels()
    for metric, labels in metrics_and_labels(query.expression).items():
        assert metric in known
        assert labels <= known[metric] | OF_PROMETHEUS, metric


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_panels_and_rules_ask_for_values_that_a_run_exports(query: Query) -> None:
    values = {item for family in exported_families().values() for item in family.values}
    for label, pattern in label_values(query.expression):
        assert any(name == label and re.fullmatch(pattern, value) for name, value in values)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_legends_and_annotations_name_labels_that_are_left(query: Query) -> None:
    known = exported_labels()
    metrics = metrics_and_labels(query.expression)
    left = OF_PROMETHEUS.union(*(known[metric] for metric in metrics))
    assert query.labels_in_text - {"value"} <= left


def test_every_metric_of_a_run_is_in_a_panel() -> None:
    shown = {
        metric for query in dashboard_queries() for metric in metrics_and_labels(query.expression)
    }
    hidden = {
        name for name, family in exported_families().items() if shown.isdisjoint(family.samples)
    }
    assert hidden == UNUSED


def test_the_choices_at_the_top_are_made_of_a_metric_that_every_run_has() -> None:
    for variable in dashboard()["templating"]["list"][1:]:
        metric = variable["query"]["query"].removeprefix("label_values(").partition("{")[0]
        assert metric.partition(",")[0] in exported_families()


def test_the_mark_of_alerts_is_theirs() -> None:
    (annotation,) = dashboard()["annotations"]["list"]
    assert annotation["expr"] == 'ALERTS{alertname=~"GscTrio.+", alertstate="firing"}'
