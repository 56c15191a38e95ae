"""The JSON of searchanalytics.query: what is sent, and what an answer must be to be believed."""

from __future__ import annotations

import datetime as dt
import json
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.errors import MalformedResponseError
from gsc_trio.filters import parse_filter
from gsc_trio.model import Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.wire import query as wire_query
from gsc_trio.wire.query import decode_page, decode_page_in_steps, encode_query, query_path

QUERY = SearchAnalyticsQuery("sc-domain:example.com", row_limit=3)
JOB = Job(dt.date(2026, 3, 1), 25_000)

# What JSON can carry: any Unicode but lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]))
counts = st.integers(0, 10**12) | st.floats(0, 1e12)


def page_of(content: bytes | str, query: SearchAnalyticsQuery = QUERY) -> Page:
    return decode_page(query, JOB, content.encode() if isinstance(content, str) else content)


def row_of(fields: str) -> Row:
    (row,) = page_of(f'{{"rows": [{{"keys": ["p", "q"], {fields}}}]}}').rows
    return row


# What is sent


def test_a_query_is_sent_as_google_documents_it() -> None:
    query = SearchAnalyticsQuery(
        "https://example.com/",
        search_type="image",
        dimensions=("device", "page"),
        data_state="all",
        row_limit=10,
    )
    assert json.loads(encode_query(query, JOB)) == {
        "startDate": "2026-03-01",
        "endDate": "2026-03-01",
        "dimensions": ["page", "device"],
        "type": "image",
        "dataState": "all",
        "rowLimit": 10,
        "startRow": 25_000,
    }


def test_filters_go_into_one_group_and_so_does_nothing_that_was_not_asked_for() -> None:
    filters = ("page:contains:/a:b/", "query:excludingRegex:^x")
    query = SearchAnalyticsQuery(
        "https://example.com/",
        dimensions=("page", "hour"),
        data_state="hourly_all",
        filters=tuple(map(parse_filter, filters)),
        aggregation_type="byPage",
    )
    sent = json.loads(encode_query(query, JOB))
    assert sent["dimensions"] == ["hour", "page"]
    assert sent["dataState"] == "hourly_all"
    assert sent["aggregationType"] == "byPage"
    assert sent["dimensionFilterGroups"] == [
        {
            "groupType": "and",
            "filters": [
                {"dimension": "page", "operator": "contains", "expression": "/a:b/"},
                {"dimension": "query", "operator": "excludingRegex", "expression": "^x"},
            ],
        }
    ]
    assert (
        not {"aggregationType", "dimensionFilterGroups"}
        & json.loads(encode_query(QUERY, JOB)).keys()
    )


def test_a_query_without_dimensions_asks_for_none() -> None:
    query = SearchAnalyticsQuery("sc-domain:example.com", dimensions=())
    assert json.loads(encode_query(query, JOB))["dimensions"] == []
    assert page_of('{"rows": [{"clicks": 1}]}', query).rows == [Row((), 1.0)]


@pytest.mark.parametrize(
    ("site_url", "encoded"),
    [
        ("https://example.com/", "https%3A%2F%2Fexample.com%2F"),
        ("sc-domain:bücher.example", "sc-domain%3Ab%C3%BCcher.example"),
        (
            "https://example.com/a%20b/?x=1&y/",
            "https%3A%2F%2Fexample.com%2Fa%2520b%2F%3Fx%3D1%26y%2F",
        ),
    ],
)
def test_a_property_is_fully_percent_encoded(site_url: str, encoded: str) -> None:
    assert query_path(site_url) == (
        f"/webmasters/v3/sites/{encoded}/searchAnalytics/query?prettyPrint=false"
    )


@given(texts)
def test_no_property_name_can_change_the_path_around_it(site_url: str) -> None:
    path = query_path(site_url)
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    parts = urlsplit(path)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("", "", "")
    assert parts.query == "prettyPrint=false"
    root, api, version, sites, name, *rest = parts.path.split("/")
    assert (root, api, version, sites) == ("", "webmasters", "v3", "sites")
    assert rest == ["searchAnalytics", "query"]
    assert unquote(name) == site_url


# What is believed


def test_numbers_may_be_written_as_integers_or_doubles() -> None:
    expected = Row(("p", "q"), 3.0, 40.0, 5.5)
    assert row_of('"clicks": 3, "impressions": 40, "ctr": 0.075, "position": 5.5') == expected
    assert row_of('"clicks": 3.0, "impressions": 4e1, "ctr": 0, "position": 5.50') == expected
    assert row_of('"clicks": 0.5, "impressions": 9007199254740993') == Row(
        ("p", "q"), 0.5, 9007199254740992.0
    )


def test_a_row_of_discover_has_no_position() -> None:
    assert row_of('"clicks": 1, "impressions": 2').position is None
    assert row_of('"clicks": 1, "impressions": 2, "position": null').position is None


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        ' \n{"responseAggregationType": "byPage"}\r\n',
        '{"rows": []}',
        '{"metadata": {"a": []}}',
    ],
)
def test_an_answer_without_rows_is_an_empty_page(content: str) -> None:
    page = page_of(content)
    assert page.rows == []
    assert not page.is_full
    assert page.job == JOB
    assert page.content_bytes == len(content)


def test_a_page_with_as_many_rows_as_were_asked_for_is_full() -> None:
    row = '{"keys": ["p", "q"]}'
    assert not page_of(f'{{"rows": [{row}, {row}]}}').is_full
    page = page_of(f'{{"rows": [{row}, {row}, {row}]}}')
    assert page.is_full
    assert page.follow_up == Job(JOB.data_date, 25_003)


def test_more_rows_than_were_asked_for_are_malformed() -> None:
    rows = ", ".join(['{"keys": ["p", "q"]}'] * 4)
    with pytest.raises(MalformedResponseError, match="4 rows where 3"):
        page_of(f'{{"rows": [{rows}]}}')


@pytest.mark.parametrize("keys", [[], ["p"], ["p", "q", "r"]])
def test_rows_with_other_keys_than_were_asked_for_are_malformed(keys: list[str]) -> None:
    rows = [{"keys": ["p", "q"]}, {"keys": keys}]
    with pytest.raises(MalformedResponseError, match="2 keys"):
        page_of(json.dumps({"rows": rows}))


def test_a_row_without_keys_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="2 keys"):
        page_of('{"rows": [{"clicks": 1}]}')


def test_an_error_that_comes_as_a_success_is_no_empty_day() -> None:
    for error in ('{"code": 403}', '"invalid"', "null"):
        with pytest.raises(MalformedResponseError, match="error"):
            page_of(f'{{"error": {error}}}')


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"null", b"[]", b'"rows"', b"<html>Sign in</html>", b"{", b'{"rows": [}', b"{}{}"),
        *(b'{"rows": null}', b'{"rows": {}}', b'{"rows": [null]}', b'{"rows": [[]]}'),
        *(b"\xef\xbb\xbf{}", b'{"rows": [', b"[" * 100_000, b'{"x": ' + b"[" * 100_000),
    ],
)
def test_what_is_no_query_response_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        page_of(content)


@pytest.mark.parametrize(
    "row",
    [
        *(b'"keys": ["p", 1]', b'"keys": ["p", null]', b'"keys": "pq"', b'"keys": null'),
        *(b'"keys": ["p", "\xff"]', b'"keys": ["p", "\xed\xa0\x80"]', b'"keys": ["p", "\\x41"]'),
        *(b'"keys": ["p", "\\ud83d"]', b'"keys": ["p", "\\ude00\\ud83d"]', b'"keys": ["p", "\n"]'),
        *(b'"clicks": NaN', b'"clicks": Infinity', b'"clicks": -Infinity', b'"clicks": 1e999'),
        *(b'"clicks": "1"', b'"clicks": null', b'"clicks": true', b'"clicks": 01', b'"clicks": .5'),
        *(b'"impressions": [1]', b'"position": "first"', b'"position": NaN'),
    ],
)
def test_a_row_that_json_or_the_api_does_not_allow_is_malformed(row: bytes) -> None:
    keys = b"" if b"keys" in row else b'"keys": ["p", "q"], '
    with pytest.raises(MalformedResponseError):
        page_of(b'{"rows": [{%b%b}]}' % (keys, row))


def test_an_error_message_does_not_hold_the_rows() -> None:
    with pytest.raises(MalformedResponseError) as raised:
        page_of('{"rows": [{"keys": ["private search", "q"], "clicks": "private"}]}')
    assert "private" not in str(raised.value)


@given(st.lists(st.tuples(texts, texts, counts, counts, st.none() | counts), max_size=3))
def test_any_unicode_and_any_number_come_through_escaped_or_not(
    rows: list[tuple[str, str, float, float, float | None]],
) -> None:
    answer = {
        "rows": [
            {"keys": [page, query], "clicks": clicks, "impressions": shown, "position": position}
            for page, query, clicks, shown, position in rows
        ]
    }
    expected = [
        Row((page, query), float(clicks), float(shown), None if place is None else float(place))
        for page, query, clicks, shown, place in rows
    ]
    for is_escaped in (True, False):
        content = json.dumps(answer, ensure_ascii=is_escaped).encode()
        page = page_of(content)
        assert page.rows == expected
        assert page.content_bytes == len(content)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\u00e9\/\"\\\b\f\n\r\t", 'é/"\\\b\f\n\r\t'),
        (r"\ud83d\ude00", "😀"),
        (r"\u0000", "\0"),
        ("\u2028\ufeff\uffff", "\u2028\ufeff\uffff"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_escapes_are_read_and_nothing_is_normalised(written: str, read: str) -> None:
    (row,) = page_of(f'{{"rows": [{{"keys": ["{written}", ""]}}]}}').rows
    assert row.keys == (read, "")


@given((st.binary() | texts.map(str.encode)).filter(lambda data: not data.strip().startswith(b"{")))
def test_garbage_is_malformed_and_nothing_else(content: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        page_of(content)


@given(st.integers(0))
def test_an_answer_cut_off_anywhere_is_malformed(length: int) -> None:
    content = '{"rows": [{"keys": ["é", "😀"], "clicks": 1.5, "position": 2}], "x": "y"}'.encode()
    with pytest.raises(MalformedResponseError):
        page_of(content[: length % len(content)])


MANY = SearchAnalyticsQuery("sc-domain:example.com")
awkward_texts = st.text() | st.sampled_from(['},{"keys"', '"},{"keys":["', "\\", '\\"},{"keys"'])
json_rows = st.lists(
    st.fixed_dictionaries(
        {"keys": st.tuples(awkward_texts, awkward_texts), "clicks": st.integers(0, 10**6)}
    ),
    max_size=30,
)


@given(json_rows, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans(), st.integers(1, 200))
def test_a_page_in_steps_is_the_page_as_a_whole(
    rows: list[dict[str, object]], separators: tuple[str, str], is_ascii: bool, step_bytes: int
) -> None:
    content = json.dumps(
        {"rows": rows, "responseAggregationType": "byPage"},
        separators=separators,
        ensure_ascii=is_ascii,
    ).encode(errors="replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire_query, "STEP_BYTES", step_bytes)
        *steps, page = decode_page_in_steps(MANY, JOB, content)
    assert steps == [None] * len(steps)
    assert page == decode_page(MANY, JOB, content)
    assert page is not None
    assert len(page.rows) == len(rows)
    if separators == (",", ":"):
        assert (len(steps) > 0) == (content.find(b'},{"keys"', 9 + step_bytes) >= 0)


@given(st.data())
def test_damage_is_found_in_steps_as_in_the_whole(data: st.DataObject) -> None:
    rows = [{"keys": ["a", "b"], "clicks": number} for number in range(40)]
    content = bytearray(json.dumps({"rows": rows}, separators=(",", ":")).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(9, len(content) - 1))] = data.draw(st.integers(0, 255))

    def outcome(step_bytes: int) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wire_query, "STEP_BYTES", step_bytes)
            try:
                return decode_page(MANY, JOB, bytes(content))
            except MalformedResponseError:
                return "malformed"

    assert outcome(100) == outcome(1_000_000)
