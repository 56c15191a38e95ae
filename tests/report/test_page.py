"""The page as text: nothing from outside gets into it as anything but text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock

from gsc_trio.report.charts import draw_charts, tick_step
from gsc_trio.report.page import render
from gsc_trio.report.record import DAY_STATES, DayRecord, RunRecord
from tests.report.runs import bad_record, good_record
from tests.telemetry.runs import TOKEN

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=a>"
    "\u202eab\x00\x07{{ 7 * 7 }}"
)

_VOID = {"meta", "link", "br"}


class Outline(HTMLParser):
    """What elements there are, each closed where it should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [each[attribute] or "" for _, each in self.elements if attribute in each]


def with_words(record: RunRecord, words: str) -> RunRecord:
    """The record with other words wherever words may come from outside."""
    return msgspec.structs.replace(
        record,
        summary=attrs.evolve(record.summary, site=words, reason=words, status=words),
        search_type=words,
        data_state=words,
        dimensions=(words,),
        quota={words: record.quota["site"]},
        retries=[
            msgspec.structs.replace(each, reason=words, last_error=words) for each in record.retries
        ],
        notes=[msgspec.structs.replace(each, text=words) for each in record.notes],
    )


@pytest.fixture(scope="module")
def good() -> RunRecord:
    return trio.run(good_record, clock=MockClock(autojump_threshold=0))


@pytest.fixture(scope="module")
def bad() -> RunRecord:
    return trio.run(bad_record, clock=MockClock(autojump_threshold=0))


@pytest.fixture(scope="module")
def page(bad: RunRecord) -> str:
    return render(bad)


def test_its_elements_are_closed_and_its_ids_are_unique(page: str) -> None:
    ids = Outline(page).values("id")
    assert len(ids) == len(set(ids)) > 100


def test_whatever_comes_from_outside_is_shown_as_text(bad: RunRecord, page: str) -> None:
    hostile_page = render(with_words(bad, HOSTILE))
    hostile = Outline(hostile_page)
    tags = {tag for tag, _ in hostile.elements}
    assert tags == {tag for tag, _ in Outline(page).elements}
    names = {name for _, each in hostile.elements for name in each}
    assert names == {name for _, each in Outline(page).elements for name in each}
    assert hostile.text.count("<script>alert(1)</script>") > 5
    assert "{{ 7 * 7 }}" in hostile.text
    assert not {"\u202e", "\x00", "\x07"} & set(hostile_page)


def test_nothing_is_loaded_or_run(page: str) -> None:
    outline = Outline(page)
    assert "script" not in {tag for tag, _ in outline.elements}
    addresses = [*outline.values("href"), *outline.values("xlink:href"), *outline.values("src")]
    assert addresses
    assert all(each.startswith(("#", "data:,")) for each in addresses)
    assert not any(name.startswith("on") for _, each in outline.elements for name in each)
    assert all(each.startswith("#") for each in re.findall(r"url\(([^)]*)\)", page))
    assert "@import" not in page
    [policy] = [each for each in outline.values("content") if each.startswith("default-src")]
    assert policy.startswith("default-src 'none'; ")


def test_it_has_no_secret_and_is_the_same_each_time(bad: RunRecord, page: str) -> None:
    assert TOKEN not in page
    assert render(bad) == page


def test_each_state_of_a_day_has_its_place_and_its_reason(good: RunRecord) -> None:
    days = [
        DayRecord(each.data_date, DAY_STATES[number % 5], number)
        for number, each in enumerate(good.days)
    ]
    failed = idle(good)  # it has no charts to draw
    summary = attrs.evolve(failed.summary, status="failed", reason="the disk is full")
    outline = Outline(render(msgspec.structs.replace(failed, days=days, summary=summary)))
    text = " ".join(outline.text.split())
    for words in ("fetched", "stored before", "partly", "missing", "not final yet"):
        assert words in text
    assert "2 days missing: the run ended before they came: the disk is full." in text
    assert "2 days not final yet: Google's data is not final: a later run asks again." in text
    shown = [each["class"] for tag, each in outline.elements if tag == "li" and "title" in each]
    assert shown == [f"day {each.state.replace(' ', '-')}" for each in days]


@pytest.mark.parametrize("seconds", [0.0, 3 * 86_400.0])
def test_runs_of_any_length_can_be_drawn(seconds: float, good: RunRecord) -> None:
    summary = attrs.evolve(good.summary, duration_seconds=seconds)
    slot_seconds = max(0.1, seconds / len(good.series.rows))
    series = msgspec.structs.replace(good.series, slot_seconds=slot_seconds)
    page = render(msgspec.structs.replace(good, summary=summary, series=series))
    assert page.count("<svg") == 5 * 2 + 1


@pytest.mark.parametrize("duration", [0.05, 1, 7, 59, 61, 600, 3_599, 86_399, 86_401, 30 * 86_400])
def test_ticks_are_few_and_at_round_times(duration: float) -> None:
    step = tick_step(duration, 4)
    assert duration / step <= 4
    assert step % 86_400 == 0 or 86_400 % step == 0


def idle(record: RunRecord) -> RunRecord:
    """The record of a run that sent nothing, in the place of one that did."""
    summary = attrs.evolve(record.summary, requests=0, pages=0, rows=0, days=0, retries=0)
    peaks = msgspec.structs.replace(record.peaks, in_flight=0, resident_bytes=0)
    return msgspec.structs.replace(
        record,
        summary=summary,
        peaks=peaks,
        pauses=0,
        refused=0,
        series=msgspec.structs.replace(record.series, latencies=[]),
    )


def test_days_that_were_fetched_again_are_told_if_there_are_any(good: RunRecord) -> None:
    assert "days_fetched_again" not in render(good)
    summary = attrs.evolve(good.summary, days_fetched_again=2)
    page = render(msgspec.structs.replace(good, summary=summary))
    assert '<data id="days_fetched_again" value="2">2</data>' in page


def test_a_run_with_nothing_to_do_has_no_charts(good: RunRecord) -> None:
    page = render(idle(good))
    assert "<svg" not in page
    assert "Nothing to fetch: all days were in the database already." in page


def test_a_run_that_was_over_before_an_answer_came_has_the_charts_that_say_something(
    good: RunRecord,
) -> None:
    early = idle(good)
    summary = attrs.evolve(early.summary, requests=3, status="interrupted")
    peaks = msgspec.structs.replace(early.peaks, in_flight=3)
    record = msgspec.structs.replace(early, summary=summary, peaks=peaks)
    assert [chart.name for chart in draw_charts(record)] == ["queries", "jobs"]
