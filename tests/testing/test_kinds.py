"""The fake answers every kind of query as Google does, and refuses what Google refuses."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from gsc_trio.filters import parse_filter
from gsc_trio.model import Job, SearchAnalyticsQuery
from gsc_trio.testing import SimulatedProperty
from gsc_trio.testing.answers import Answer, answer_query, parse_query
from gsc_trio.testing.kinds import hours_of
from gsc_trio.wire.query import decode_page, encode_query

SITE = "sc-domain:example.com"
DAY = dt.date(2026, 7, 1)
LAST_FINAL_DAY = DAY
PROPERTY = SimulatedProperty(SITE, rows_per_day=200)

Rows = dict[tuple[str, ...], tuple[float, float]]


def ask(*filters: str, day: dt.date = DAY, **options: Any) -> Rows:
    """Clicks and impressions by keys, by way of what a client sends and understands."""
    query = SearchAnalyticsQuery(SITE, filters=tuple(map(parse_filter, filters)), **options)
    request = parse_query(encode_query(query, Job(day)))
    assert not isinstance(request, Answer), request.content
    answer = answer_query(PROPERTY, request, LAST_FINAL_DAY)
    assert answer.status == 200, answer.content
    rows = decode_page(query, Job(day), answer.content).rows
    assert rows == sorted(rows, key=lambda row: -row.clicks)
    return {row.keys: (row.clicks, row.impressions) for row in rows}


def refusal(day: dt.date = DAY, **body: Any) -> str | None:
    """What the fake says of a query; None if it takes it."""
    dates = {"startDate": str(day), "endDate": str(day)}
    request = parse_query(msgspec.json.encode(dates | body))
    answer = request if isinstance(request, Answer) else answer_query(PROPERTY, request, DAY)
    if answer.status == 200:
        return None
    assert answer.status == 400
    message: str = msgspec.json.decode(answer.content)["error"]["message"]
    return message


def group(dimension: str, expression: str, **more: str) -> dict[str, Any]:
    condition = {"dimension": dimension, "expression": expression, **more}
    return {"dimensionFilterGroups": [{"filters": [condition]}]}


@pytest.mark.parametrize(
    ("operator", "opposite"),
    [
        ("equals", "notEquals"),
        ("contains", "notContains"),
        ("includingRegex", "excludingRegex"),
    ],
)
def test_an_operator_and_its_opposite_share_all_rows(operator: str, opposite: str) -> None:
    every = ask(dimensions=("page", "query"))
    expression = next(iter(every))[0]
    chosen, others = (
        ask(f"page:{name}:{expression}", dimensions=("page", "query"))
        for name in (operator, opposite)
    )
    assert chosen
    assert others
    assert chosen | others == every
    assert not chosen.keys() & others.keys()
    assert all(page == expression for page, _ in chosen)


def test_contains_ignores_case_and_equals_does_not() -> None:
    assert ask("page:contains:EXAMPLE.com", dimensions=("page",)) == ask(dimensions=("page",))
    assert ask("page:equals:HTTPS://EXAMPLE.COM/0/0.html", dimensions=("page",)) == {}


def test_what_is_filtered_by_need_not_be_grouped_by() -> None:
    finer = ask("device:equals:MOBILE", dimensions=("page", "device"))
    assert ask("device:equals:MOBILE", dimensions=("page",)) == {
        (page,): measures for (page, _), measures in finer.items()
    }


def test_all_filters_must_hold() -> None:
    options: dict[str, Any] = {"dimensions": ("country", "device")}
    both = ask("country:equals:usa", "device:notEquals:MOBILE", **options)
    assert both.keys() == {("usa", "DESKTOP"), ("usa", "TABLET")}


def test_search_appearances_in_two_steps() -> None:
    appearances = [name for (name,) in ask(dimensions=("searchAppearance",))]
    assert "VIDEO" in appearances
    by_appearance = [
        ask(f"searchAppearance:equals:{name}", dimensions=("page",)) for name in appearances
    ]
    assert all(by_appearance)
    assert ask("searchAppearance:equals:NONE_SUCH", dimensions=("page",)) == {}


@pytest.mark.parametrize(
    ("day", "first", "count"),
    [
        (dt.date(2026, 7, 1), "2026-07-01T00:00:00-07:00", 24),
        (dt.date(2026, 3, 8), "2026-03-08T00:00:00-08:00", 23),
        (dt.date(2026, 11, 1), "2026-11-01T00:00:00-07:00", 25),
    ],
)
def test_a_day_has_the_hours_of_pacific_time(day: dt.date, first: str, count: int) -> None:
    hours = hours_of(day)
    assert (hours[0], len(hours), len(set(hours))) == (first, count, count)


def test_rows_come_by_the_hour_for_ten_days() -> None:
    hourly: dict[str, Any] = {"data_state": "hourly_all"}
    today = LAST_FINAL_DAY + dt.timedelta(days=3)
    assert ask(dimensions=("hour",), day=today, **hourly).keys() == {(h,) for h in hours_of(today)}
    pages = ask(dimensions=("hour", "page"), **hourly)
    assert {page for _, page in pages} == {page for (page,) in ask(dimensions=("page",))}
    body = {"dimensions": ["hour"], "dataState": "hourly_all"}
    assert refusal(today - dt.timedelta(days=9), **body) is None
    assert "last 10 days" in str(refusal(today - dt.timedelta(days=10), **body))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (group("date", "2026-07-01"), "'dimension': date"),
        (group("hour", "5"), "'dimension': hour"),
        (group("page", "x", operator="is"), "'operator': is"),
        (group("page", "(", operator="includingRegex"), "Invalid regular expression"),
        (group("page", "x" * 4_097, operator="excludingRegex"), "too long"),
        ({"dimensionFilterGroups": [{"groupType": "or"}]}, "'groupType'"),
        (group("query", "x") | {"type": "discover"}, "query dimension is not supported"),
        (group("device", "MOBILE") | {"type": "discover"}, "device dimension is not supported"),
        ({"dimensions": ["hour"]}, "needs dataState hourly_all"),
        ({"dataState": "hourly_all"}, "needs dataState hourly_all"),
        ({"aggregationType": "bySite"}, "'aggregationType': bySite"),
        (
            {"aggregationType": "byProperty", "dimensions": ["page"]},
            "grouping or filtering by page",
        ),
        (group("page", "x") | {"aggregationType": "byProperty"}, "grouping or filtering by page"),
        ({"aggregationType": "byProperty", "type": "googleNews"}, "not supported for this type"),
        ({"aggregationType": "byNewsShowcasePanel", "type": "discover"}, "NEWS_SHOWCASE"),
    ],
)
def test_what_google_refuses_is_refused(body: dict[str, Any], message: str) -> None:
    assert message in str(refusal(**body))


@pytest.mark.parametrize(
    ("body", "aggregated_by"),
    [
        ({}, "byProperty"),
        ({"dimensions": ["page"]}, "byPage"),
        (group("page", "x"), "byPage"),
        ({"type": "discover"}, "byPage"),
        ({"aggregationType": "byPage"}, "byPage"),
        ({"aggregationType": "byProperty"}, "byProperty"),
        (
            group("searchAppearance", "NEWS_SHOWCASE")
            | {"aggregationType": "byNewsShowcasePanel", "type": "discover"},
            "byNewsShowcasePanel",
        ),
    ],
)
def test_an_answer_says_how_it_was_aggregated(body: dict[str, Any], aggregated_by: str) -> None:
    dates = {"startDate": str(DAY), "endDate": str(DAY)}
    request = parse_query(msgspec.json.encode(dates | body))
    assert not isinstance(request, Answer)
    content = msgspec.json.decode(answer_query(PROPERTY, request, DAY).content)
    assert content["responseAggregationType"] == aggregated_by
