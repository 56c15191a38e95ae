"""Filters: read and written as texts, and refused where Google would refuse them."""

from __future__ import annotations

import pytest

from gsc_trio.errors import UsageError
from gsc_trio.filters import (
    FILTER_DIMENSIONS,
    OPERATORS,
    filters_as_text,
    filters_from_text,
    parse_filter,
)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dimension", FILTER_DIMENSIONS)
def test_every_dimension_has_every_operator(dimension: str, operator: str) -> None:
    expression = {"country": "deu", "device": "MOBILE"}.get(dimension, "a:b")
    text = f"{dimension}:{operator}:{expression}"
    assert str(parse_filter(text)) == text


def test_filters_are_written_down_and_read_again() -> None:
    filters = (parse_filter("page:contains:https://a/?b=c:d"), parse_filter("country:equals:usa"))
    text = filters_as_text(filters)
    assert text == "page:contains:https://a/?b=c:d\ncountry:equals:usa"
    assert filters_from_text(text) == filters
    assert filters_from_text(filters_as_text(())) == ()


def test_countries_and_devices_are_as_google_writes_them() -> None:
    assert parse_filter("country:notEquals:USA") == parse_filter("country:notEquals:usa")
    assert str(parse_filter("device:equals:mobile")) == "device:equals:MOBILE"
    assert str(parse_filter("query:equals:USA")) == "query:equals:USA"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no filter: write DIMENSION:OPERATOR:EXPRESSION, as page:contains:/shop/"),
        ("page", "is no filter"),
        ("page:contains", "is no filter"),
        ("page:contains:", "has no expression"),
        ("page:equals:a\nb", "control characters"),
        ("date:equals:2024-01-01", "there is no filter on 'date': use one of page, query"),
        ("hour:equals:5", "there is no filter on 'hour'"),
        ("page:is:x", "unknown filter operator 'is': use one of equals, notEquals, contains"),
        ("country:equals:Germany", "'Germany' is no country: .* usa or deu"),
        ("device:equals:phone", "'phone' is no device: use one of DESKTOP, MOBILE, TABLET"),
        (f"query:includingRegex:{'x' * 4_097}", "of 4,097 characters: Google takes at most 4,096"),
        ("query:includingRegex:a(?=b)", r"RE2 has no \(\?=…\), it cannot look ahead"),
        ("query:excludingRegex:(?<!a)b", r"RE2 has no \(\?<!…\)"),
        (r"query:includingRegex:(a)\1", r"RE2 has no \\1, it cannot refer back"),
        ("query:includingRegex:(a", "is left open"),
        ("query:includingRegex:a)(b", "is left open"),
        ("query:includingRegex:[a", "is left open"),
        ("query:includingRegex:a\\", "is left open"),
    ],
)
def test_what_is_no_filter_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_filter(text)


@pytest.mark.parametrize(
    "expression",
    [
        "x" * 4_096,
        r"^(how|what)\b",
        r"(?i)shoes|(?P<name>boots)|(?:a)(?i:b)",
        r"[(?=)\1]",
        r"[]a][^]b][[:alpha:](]",
        r"\(\[\\",
        r"\Q(?=\E\pN\x{10FFFF}",
        "日本|l'été",
    ],
)
def test_what_re2_takes_is_taken(expression: str) -> None:
    assert parse_filter(f"query:includingRegex:{expression}").expression == expression
