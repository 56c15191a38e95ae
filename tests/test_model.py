"""What a query may ask for: everything Google would refuse is refused here, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from gsc_trio.errors import UsageError
from gsc_trio.filters import parse_filter
from gsc_trio.model import SearchAnalyticsQuery

SHOP = parse_filter("page:contains:/shop/")
SHOES = parse_filter("query:equals:shoes")
MOBILE = parse_filter("device:equals:MOBILE")
VIDEO = parse_filter("searchAppearance:equals:VIDEO")
NEWS_SHOWCASE_PANELS: dict[str, Any] = {
    "search_type": "googleNews",
    "dimensions": ("country",),
    "filters": [parse_filter("searchAppearance:equals:NEWS_SHOWCASE")],
    "aggregation_type": "byNewsShowcasePanel",
}


@pytest.mark.parametrize(
    "site_url",
    [
        "https://example.com/",
        "http://www.example.com/folder/",
        "https://example.com:8443/",
        "https://bücher.example/",
        "sc-domain:example.com",
    ],
)
def test_both_kinds_of_properties_are_taken(site_url: str) -> None:
    assert SearchAnalyticsQuery(site_url).site_url == site_url


@pytest.mark.parametrize(
    "site_url",
    [
        "",
        "example.com",
        "https://example.com",
        "https:///",
        "ftp://example.com/",
        "sc-domain:",
        "sc-domain:https://example.com/",
        "sc-domain:exa mple.com",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://[broken/",
        "sc-domain:\ud800.example",  # what a terminal's broken bytes become
        "https://\ud800.example/",
    ],
)
def test_anything_else_is_refused_with_both_ways_to_write_it(site_url: str) -> None:
    with pytest.raises(UsageError, match=r"https://host/ .* or sc-domain:host"):
        SearchAnalyticsQuery(site_url)


def test_the_order_of_dimensions_makes_no_difference_and_date_is_implied() -> None:
    queries = [
        SearchAnalyticsQuery("sc-domain:example.com", dimensions=names)
        for names in [("query", "page"), ("page", "query"), ("date", "page", "query")]
    ]
    assert queries[0] == queries[1] == queries[2]
    assert queries[0].dimensions == ("page", "query")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dimensions": ("page", "colour")},
            "unknown dimension 'colour': use any of date, hour, page",
        ),
        ({"dimensions": ("page", "page")}, "'page' is named more than once"),
        ({"dimensions": ("searchAppearance", "page")}, "searchAppearance cannot be combined"),
        ({"search_type": "maps"}, "unknown search type 'maps': use one of web, image"),
        ({"search_type": "discover"}, "discover has no query dimension"),
        ({"search_type": "googleNews"}, "googleNews has no query dimension"),
        ({"search_type": "discover", "dimensions": ("device",)}, "discover has no device"),
        ({"search_type": "discover", "dimensions": (), "filters": [MOBILE]}, "no device"),
        ({"search_type": "googleNews", "dimensions": (), "filters": [SHOES]}, "no query"),
        (
            {"data_state": "hourly"},
            "unknown data state 'hourly': use one of final, all, hourly_all",
        ),
        ({"data_state": "hourly_all"}, "hourly_all needs the hour dimension: .* hour,page"),
        ({"dimensions": ("hour",)}, "hour dimension needs data state hourly_all, not final"),
        ({"dimensions": ("hour",), "data_state": "all"}, "hourly_all, not all"),
        ({"aggregation_type": "bySite"}, "unknown aggregation type 'bySite': use one of auto, byP"),
        ({"aggregation_type": "byProperty"}, "byProperty cannot be combined with the page"),
        (
            {"aggregation_type": "byProperty", "dimensions": (), "filters": [SHOP]},
            "byProperty cannot be combined with the page",
        ),
        (
            {"aggregation_type": "byProperty", "dimensions": (), "search_type": "discover"},
            "discover cannot be aggregated byProperty",
        ),
        ({"aggregation_type": "byNewsShowcasePanel", "dimensions": ()}, "needs the filter search"),
        (NEWS_SHOWCASE_PANELS | {"search_type": "web"}, "search type discover or googleNews"),
        (NEWS_SHOWCASE_PANELS | {"dimensions": ("page",)}, "no page dimension"),
        (NEWS_SHOWCASE_PANELS | {"filters": [VIDEO]}, "needs the filter searchAppearance:equals:N"),
        ({"row_limit": 0}, "use 1 to 25000"),
        ({"row_limit": 25_001}, "use 1 to 25000"),
    ],
)
def test_what_google_would_refuse_is_refused_before_any_request(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        SearchAnalyticsQuery("sc-domain:example.com", **options)


@pytest.mark.parametrize(
    "options",
    [
        NEWS_SHOWCASE_PANELS,
        {"dimensions": ("hour", "page"), "data_state": "hourly_all"},
        {"dimensions": ("page", "query"), "filters": [VIDEO], "aggregation_type": "byPage"},
        {"dimensions": (), "aggregation_type": "byProperty"},
        {"dimensions": ("page", "country"), "search_type": "discover", "filters": [SHOP]},
        {"dimensions": ("page", "device"), "search_type": "googleNews", "filters": [MOBILE]},
    ],
)
def test_every_kind_that_google_has_may_be_asked_for(options: dict[str, Any]) -> None:
    SearchAnalyticsQuery("sc-domain:example.com", **options)


def test_the_order_of_filters_makes_no_difference() -> None:
    one, other = (
        SearchAnalyticsQuery("sc-domain:example.com", filters=filters)
        for filters in ((SHOP, MOBILE, SHOES), (MOBILE, SHOES, SHOP, MOBILE))
    )
    assert one == other
