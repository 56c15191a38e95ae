"""playbook/TELEMETRY.md names every metric and every event as the code has them."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import get_args

import attrs
from opentelemetry.sdk.metrics.export import Sum

import gsc_trio
from gsc_trio.telemetry.events import Event, RunStarted
from tests.playbook.exported import an_event_of_each_kind, exported_families, metrics_set_by
from tests.playbook.files import PLAYBOOK

PACKAGE = Path(gsc_trio.__file__).parent
OF_HISTOGRAMS = {"le"}


def table(heading: str) -> list[list[str]]:
    """The cells of a section's table."""
    text = (PLAYBOOK / "TELEMETRY.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@cache
def sources() -> dict[str, set[str]]:
    """The modules that make an event, by its name."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.setdefault(node.func.id, set()).add(module)
    return found


@cache
def events_behind_metrics() -> dict[str, set[str]]:
    """By a metric's name, the events that set it; counters begin with `RunStarted` anyway."""
    found: dict[str, set[str]] = {}
    for kind, event in an_event_of_each_kind().items():
        for name, metric in metrics_set_by(event).items():
            if not (kind is RunStarted and isinstance(metric.data, Sum)):
                found.setdefault(name, set()).add(kind.__name__)
    return found


def test_every_event_is_named_with_its_meaning_its_facts_and_its_source() -> None:
    rows = table("Events")
    assert [names_in(row[0]) for row in rows] == [[kind.__name__] for kind in get_args(Event)]
    for kind, (_, meaning, facts, told_by) in zip(get_args(Event), rows, strict=True):
        first_paragraph = (inspect.getdoc(kind) or "").split("\n\n")[0]
        assert meaning == " ".join(first_paragraph.split())
        assert names_in(facts) == [field.name for field in attrs.fields(kind)]
        assert set(names_in(told_by)) == sources().get(kind.__name__, set()), kind.__name__


def test_every_metric_is_named_with_its_kind_unit_and_meaning() -> None:
    metrics = {
        name: metric
        for event in an_event_of_each_kind().values()
        for name, metric in metrics_set_by(event).items()
    }
    families = {
        family.name.removesuffix("_total"): family for family in exported_families().values()
    }
    rows = table("Metrics")
    assert sorted(names_in(row[0])[0] for row in rows) == sorted(metrics)
    assert {names_in(row[1])[0].removesuffix("_total") for row in rows} == set(families)
    for row in rows:
        (name,), (exported_name,), meaning = names_in(row[0]), names_in(row[1]), row[4]
        family = families[exported_name.removesuffix("_total")]
        assert exported_name.startswith(name.replace(".", "_"))
        assert exported_name.endswith("_total") == (family.kind == "counter")
        assert row[2] == f"{family.kind}, {metrics[name].unit}"
        assert meaning == metrics[name].description == family.meaning


def test_every_metric_is_named_with_its_attributes_and_all_their_values() -> None:
    for _, exported_name, _, attributes, *_ in table("Metrics"):
        (name,) = names_in(exported_name)
        values = exported_families()[name.removesuffix("_total")].values
        expected: dict[str, set[str]] = {}
        for label, value in values:
            if label not in OF_HISTOGRAMS:
                expected.setdefault(label, set()).add(value)
        named = re.findall(r"`([^`]+)` \(([^)]+)\)", attributes)
        told = {label.replace(".", "_"): set(text.split(", ")) for label, text in named}
        assert told == expected, name


def test_every_metric_is_named_with_the_events_that_it_comes_from() -> None:
    told = {names_in(row[0])[0]: set(names_in(row[5])) for row in table("Metrics")}
    assert told == events_behind_metrics()
