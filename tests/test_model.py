"""What a query may ask for: everything Google would refuse is refused here, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery


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
        ({"dimensions": ("page", "colour")}, "unknown dimension 'colour': use any of date, page"),
        ({"dimensions": ("page", "page")}, "'page' is named more than once"),
        ({"dimensions": ("searchAppearance", "page")}, "searchAppearance cannot be combined"),
        ({"search_type": "maps"}, "unknown search type 'maps': use one of web, image"),
        ({"search_type": "discover"}, "discover has no query dimension"),
        ({"search_type": "googleNews"}, "googleNews has no query dimension"),
        ({"search_type": "discover", "dimensions": ("device",)}, "discover has no device"),
        ({"data_state": "hourly_all"}, "unknown data state 'hourly_all': use one of final, all"),
        ({"row_limit": 0}, "use 1 to 25000"),
        ({"row_limit": 25_001}, "use 1 to 25000"),
    ],
)
def test_what_google_would_refuse_is_refused_before_any_request(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        SearchAnalyticsQuery("sc-domain:example.com", **options)
