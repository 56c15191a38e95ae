"""The report says what was found, in Markdown and in a page that needs nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import attrs

from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.rollout.findings import Check, Findings
from gsc_trio.rollout.gates import GATES
from gsc_trio.rollout.page import page
from gsc_trio.rollout.record import record
from gsc_trio.rollout.template import report, success_metrics
from gsc_trio.testing import Fault, Refuse
from tests.rollout.conftest import Rehearse, day, slow_fake


class Page(HTMLParser):
    """Which elements there are, and what addresses they name."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")
        self.addresses += [value or "" for name, value in attributes if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


def metrics(markdown: str) -> dict[str, list[str]]:
    rows = re.findall(r"^\| ([\w-]+/[\w-]+) \| (.*) \|$", markdown, re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in rows}


def test_the_empty_template_has_a_line_for_each_gate() -> None:
    lines = metrics(success_metrics())
    assert list(lines) == [gate.name for gate in GATES]
    assert lines["concurrency-5/speed-up"][1:] == [
        "≥\N{NO-BREAK SPACE}4 ×, or 90% of what is possible if that is less",
        "____",
        "____",
    ]


def test_a_rollout_that_passed(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake())
    text = report(findings)
    assert "passed: every gate up to five workers, and the drill" in text
    assert "FAILED" not in text
    assert "Set `max_concurrency = 5`" in text
    facts = record(findings)
    assert json.loads(json.dumps(facts, default=str))["status"] == "passed"
    measured = metrics(text)
    assert list(measured) == [gate["name"] for gate in facts["gates"]]
    for gate in facts["gates"]:
        digits = 2 if gate["unit"] in {"s", "×"} else 0
        assert measured[gate["name"]][2].startswith(f"{gate['figure']:,.{digits}f}")
        assert measured[gate["name"]][3] == gate["verdict"] == "passed"
    page_of_it = Page()
    page_of_it.feed(page(text, "Rollout"))
    assert page_of_it.open == []
    assert page_of_it.addresses == []
    assert "script" not in page_of_it.tags
    assert page_of_it.cells.count("passed") == len(GATES) + len(findings.checks)


def test_a_rollout_that_failed_names_the_gate_the_cause_and_what_to_do(rehearse: Rehearse) -> None:
    gone = Fault(Refuse(403, "forbidden", "<b>no|longer</b> `yours`"), data_date=day(4), skip=1)
    findings = rehearse(slow_fake(faults=[gone]))
    text = report(findings)
    assert "**FAILED: concurrency-3/complete**" in text
    assert "- `concurrency-3/complete`: the reason is in the table of runs" in text
    assert metrics(text)["concurrency-3/complete"][3] == "**FAILED**"
    assert metrics(text)["concurrency-5/complete"][2:] == ["____", "not reached"]
    shown = Page()
    shown.feed(page(text, "Rollout"))
    assert shown.open == []
    # What others said is shown as it is, in its cell, and makes no HTML.
    [cell] = [cell for cell in shown.cells if "longer" in cell]
    assert "<b>no|longer</b> `yours`" in cell
    assert "b" not in shown.tags


def test_an_interrupted_rollout_says_what_was_done(rehearse: Rehearse) -> None:
    interruption = HaltSwitch()

    def tell(text: str) -> None:
        if text.startswith("Stage 3"):
            interruption.request(Halt("interrupted by SIGINT", status="interrupted"))

    findings = rehearse(slow_fake(), interruption=interruption, tell=tell)
    text = report(findings)
    assert "interrupted by SIGINT; complete: baseline" in text
    assert "To repeat the rollout, run the same command with `--fresh`." in text
    assert f"`{findings.request.database}` holds 0 of 40 days, as its last" in text
    assert f"`{findings.request.folder / 'baseline.db'}` holds 40 of 40 days, as its last" in text
    assert record(findings)["status"] == "interrupted"


def test_a_site_with_special_characters_stays_in_its_place(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake(), max_in_flight=1)
    query = SearchAnalyticsQuery("https://example.com/a|b`c<i>/")
    findings = Findings(
        attrs.evolve(findings.request, query=query),
        checks=[Check("access", is_good=False, text="not *yours*: <script>alert(1)</script>")],
    )
    shown = Page()
    shown.feed(page(report(findings), "<title>"))
    assert shown.open == []
    assert "not *yours*: <script>alert(1)</script>" in shown.cells
    assert {"script", "i", "em"}.isdisjoint(shown.tags)
