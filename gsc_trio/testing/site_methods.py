"""What the fake answers beside queries: sites, sitemaps, URL Inspection with its own quotas."""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

import attrs
import msgspec

from gsc_trio.site_urls import is_within
from gsc_trio.testing.answers import Answer, error, no_permission
from gsc_trio.testing.quota import InspectionQuota

_INSPECTION_PATH = "/v1/urlInspection/index:inspect"
_SUBMITTED = dt.datetime(2026, 1, 5, 8, 30, tzinfo=dt.UTC)


class _InspectionRequest(msgspec.Struct, rename="camel"):
    inspection_url: str
    site_url: str
    language_code: str = "en-US"


@attrs.define(eq=False)
class SiteMethods:
    """The methods of an account.

    Args:
        site_urls: the properties that it can see.
        permission_levels: those that are not ``siteOwner``.
        inspection_quota: the limits of URL Inspection, and what was counted against them.
    """

    site_urls: Iterable[str]
    permission_levels: Mapping[str, str]
    inspection_quota: InspectionQuota
    inspected: list[str] = attrs.field(factory=list, init=False)
    """Every URL that was asked about, in the order of arrival."""

    def answer(self, method: str, target: str, content: bytes) -> Answer:
        """Answer a call that is no query."""
        path = target.split("?", maxsplit=1)[0]
        if (method, path) == ("GET", "/webmasters/v3/sites"):
            return self._site_list()
        if (method, path) == ("POST", _INSPECTION_PATH):
            return self._inspection(content)
        parts = path.split("/")
        if method == "GET" and parts[1:4] == ["webmasters", "v3", "sites"] and len(parts) == 6:
            return self._sitemaps(unquote(parts[4])) if parts[5] == "sitemaps" else _not_found()
        return _not_found()

    def _site_list(self) -> Answer:
        entries = [
            {"siteUrl": each, "permissionLevel": self.permission_levels.get(each, "siteOwner")}
            for each in self.site_urls
        ]
        return Answer(200, msgspec.json.encode({"siteEntry": entries} if entries else {}))

    def _sitemaps(self, site_url: str) -> Answer:
        if site_url not in self.site_urls:
            return no_permission(site_url)
        root = _root_of(site_url)
        sitemaps = [
            {
                "path": f"{root}sitemap.xml",
                "lastSubmitted": _SUBMITTED.isoformat().replace("+00:00", "Z"),
                "isPending": False,
                "isSitemapsIndex": False,
                "type": "sitemap",
                "lastDownloaded": "2026-01-06T03:04:05.678Z",
                "warnings": "2",
                "errors": "0",
                "contents": [
                    {"type": "web", "submitted": "1200", "indexed": "0"},
                    {"type": "image", "submitted": "34", "indexed": "0"},
                ],
            },
            {
                "path": f"{root}news.xml",
                "lastSubmitted": _SUBMITTED.isoformat().replace("+00:00", "Z"),
                "isPending": True,
                "isSitemapsIndex": True,
            },
        ]
        return Answer(200, msgspec.json.encode({"sitemap": sitemaps}))

    def _inspection(self, content: bytes) -> Answer:
        try:
            request = msgspec.json.decode(content, type=_InspectionRequest)
        except msgspec.DecodeError as problem:
            return error(400, "badRequest", f"Invalid value: {problem}")
        self.inspected.append(request.inspection_url)
        exceeded = self.inspection_quota.admit(request.site_url)
        if exceeded:
            message = (
                "Quota exceeded for quota metric 'Inspection requests' and limit 'Inspection "
                f"requests per {exceeded} per site' of service 'searchconsole.googleapis.com'."
            )
            return error(429, "rateLimitExceeded", message, domain="usageLimits")
        is_ours = request.site_url in self.site_urls
        if not is_ours or not is_within(request.inspection_url, request.site_url):
            message = "You do not own this site, or the inspected URL is not part of this property."
            return error(403, "forbidden", message)
        result = _result(request.inspection_url, _root_of(request.site_url))
        return Answer(200, msgspec.json.encode({"inspectionResult": result}))


def _result(url: str, root: str) -> dict[str, object]:
    """What the index has of a URL, which follows from the URL alone: three of four are indexed."""
    link = f"https://search.google.com/search-console/inspect?id={zlib.crc32(url.encode())}"
    if zlib.crc32(url.encode()) % 4 == 0:
        status: dict[str, object] = {
            "verdict": "NEUTRAL",
            "coverageState": "URL is unknown to Google",
            "robotsTxtState": "ROBOTS_TXT_STATE_UNSPECIFIED",
            "indexingState": "INDEXING_STATE_UNSPECIFIED",
            "pageFetchState": "PAGE_FETCH_STATE_UNSPECIFIED",
        }
    else:
        status = {
            "verdict": "PASS",
            "coverageState": "Submitted and indexed",
            "robotsTxtState": "ALLOWED",
            "indexingState": "INDEXING_ALLOWED",
            "lastCrawlTime": "2026-01-07T10:11:12Z",
            "pageFetchState": "SUCCESSFUL",
            "googleCanonical": url,
            "userCanonical": url,
            "sitemap": [f"{root}sitemap.xml"],
            "referringUrls": [root],
            "crawledAs": "MOBILE",
        }
    return {
        "inspectionResultLink": link,
        "indexStatusResult": status,
        "mobileUsabilityResult": {"verdict": "VERDICT_UNSPECIFIED"},
    }


def _root_of(site_url: str) -> str:
    """Where a property's pages are."""
    if site_url.startswith("sc-domain:"):
        return f"https://{site_url.removeprefix('sc-domain:')}/"
    parts = urlsplit(site_url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _not_found() -> Answer:
    return error(404, "notFound", "Not Found")
