"""The JSON of URL Inspection, both ways.

Responsible for: the request's path and body, and what a 200 answer says of a URL.
Must never: fail on a field that Google leaves out, or lose one that is not known here: the whole
result is kept as Google wrote it.
"""

from __future__ import annotations

import datetime as dt

import attrs
import msgspec

from gsc_trio.errors import MalformedResponseError

INSPECTION_PATH = "/v1/urlInspection/index:inspect?prettyPrint=false"


class _Request(msgspec.Struct, rename="camel"):
    inspection_url: str
    site_url: str
    language_code: str


class IndexStatus(msgspec.Struct, frozen=True, rename="camel"):
    """What Google's index has of a URL (Source: API reference, ``IndexStatusInspectionResult``)."""

    verdict: str = "VERDICT_UNSPECIFIED"
    coverage_state: str = ""
    """A sentence, in the language that was asked for."""
    robots_txt_state: str = ""
    indexing_state: str = ""
    page_fetch_state: str = ""
    last_crawl_time: str | None = None
    google_canonical: str | None = None
    user_canonical: str | None = None
    crawled_as: str | None = None
    sitemap: tuple[str, ...] = ()
    referring_urls: tuple[str, ...] = ()


class _Result(msgspec.Struct, rename="camel"):
    index_status_result: IndexStatus = IndexStatus()


class _Response(msgspec.Struct, rename="camel"):
    inspection_result: msgspec.Raw


@attrs.frozen
class Inspection:
    """A URL, and what Google said of it."""

    site_url: str
    inspection_url: str
    inspected_at: dt.datetime
    """When it was answered, in UTC."""
    status: IndexStatus
    result: str
    """The whole of Google's result, as JSON."""


def encode_inspection(site_url: str, inspection_url: str, language_code: str) -> bytes:
    """The JSON body that asks for one URL."""
    return msgspec.json.encode(_Request(inspection_url, site_url, language_code))


def decode_inspection(
    site_url: str, inspection_url: str, content: bytes, inspected_at: dt.datetime
) -> Inspection:
    """What a 200 answer says.

    Raises:
        MalformedResponseError: it is no inspection.
    """
    try:
        result = msgspec.json.decode(content, type=_Response).inspection_result
        status = msgspec.json.decode(result, type=_Result).index_status_result
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResponseError(f"the answer is no inspection: {error}") from None
    text = msgspec.json.format(bytes(result), indent=0).decode()
    return Inspection(site_url, inspection_url, inspected_at, status, text)
