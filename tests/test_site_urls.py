"""Which property a URL belongs to."""

from __future__ import annotations

import pytest

from gsc_trio.site_urls import is_within, property_of


@pytest.mark.parametrize(
    ("url", "site_url", "expected"),
    [
        ("https://example.com/a", "https://example.com/", True),
        ("https://EXAMPLE.com/a", "https://example.com/", True),
        ("https://example.com", "https://example.com/", True),
        ("http://example.com/a", "https://example.com/", False),
        ("https://example.com.evil/a", "https://example.com/", False),
        ("https://example.com:8443/a", "https://example.com/", False),
        ("https://example.com/shop/a", "https://example.com/shop/", True),
        ("https://example.com/shopping", "https://example.com/shop/", False),
        ("https://www.example.com:8443/a", "sc-domain:example.com", True),
        ("http://example.com/a", "sc-domain:example.com", True),
        ("https://notexample.com/a", "sc-domain:example.com", False),
    ],
)
def test_a_property_has_what_begins_with_it_or_is_below_its_host(
    url: str, site_url: str, expected: bool
) -> None:
    assert is_within(url, site_url) is expected


def test_the_narrowest_property_is_taken() -> None:
    sites = ["sc-domain:example.com", "https://example.com/", "https://example.com/shop/"]
    sites.append("sc-domain:www.example.com")
    assert property_of("https://example.com/shop/a", sites) == "https://example.com/shop/"
    assert property_of("https://example.com/a", sites) == "https://example.com/"
    assert property_of("http://example.com/a", sites) == "sc-domain:example.com"
    assert property_of("http://a.www.example.com/", sites) == "sc-domain:www.example.com"
    assert property_of("https://elsewhere.example/", sites) is None
