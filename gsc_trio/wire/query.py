"""The JSON of searchanalytics.query, both ways.

Responsible for: the request's path and body, and turning a 200 answer's body into rows.
Must never: guess. A body that is not what the API sends is a `MalformedResponseError`, so that the
job is asked for again rather than stored half.

Cost: decoding is one pass over the bytes by msgspec into structs that the garbage collector does
not track. A full page of 25,000 rows takes about 20 ms, during which nothing else could run: so it
is done in steps. Where a step may end is found by what stands between two rows as Google writes
them: ``},{"keys"``, which no text can have inside, since quotes are escaped there. An answer that
is written in another way is one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from urllib.parse import quote

import msgspec

from gsc_trio.errors import MalformedResponseError
from gsc_trio.garbage import collector_paused
from gsc_trio.model import Job, Page, Row, SearchAnalyticsQuery


class _Filter(msgspec.Struct):
    dimension: str
    operator: str
    expression: str


class _FilterGroup(msgspec.Struct, rename="camel"):
    filters: list[_Filter]
    group_type: str = "and"
    """The only way in which Google joins them."""


class _QueryRequest(msgspec.Struct, rename="camel", omit_defaults=True):
    start_date: str
    end_date: str
    dimensions: tuple[str, ...]
    type: str
    data_state: str
    row_limit: int
    start_row: int
    dimension_filter_groups: list[_FilterGroup] = []
    aggregation_type: str = "auto"


class _QueryResponse(msgspec.Struct):
    rows: list[Row] = []
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """An answer without rows is a day without data, so it matters what else it says."""


_response_decoder = msgspec.json.Decoder(_QueryResponse)
_rows_decoder = msgspec.json.Decoder(list[Row])
_keys_of = attrgetter("keys")

STEP_BYTES = 256 * 1024
"""About 1,200 rows, which take a millisecond."""

_BEFORE_ROWS = b'{"rows":['
_BETWEEN_ROWS = b'},{"keys"'


def query_path(site_url: str) -> str:
    """The path and query string of a property's searchanalytics.query method.

    The property is fully percent-encoded. ``prettyPrint=false`` makes answers about a third
    smaller (Source: Google APIs' standard query parameters).
    """
    return (
        f"/webmasters/v3/sites/{quote(site_url, safe='')}/searchAnalytics/query?prettyPrint=false"
    )


def encode_query(query: SearchAnalyticsQuery, job: Job) -> bytes:
    """The JSON body that asks for one job."""
    day = job.data_date.isoformat()
    return msgspec.json.encode(
        _QueryRequest(
            start_date=day,
            end_date=day,
            dimensions=query.dimensions,
            type=query.search_type,
            data_state=query.data_state,
            row_limit=query.row_limit,
            start_row=job.start_row,
            dimension_filter_groups=_filter_groups(query),
            aggregation_type=query.aggregation_type,
        )
    )


def _filter_groups(query: SearchAnalyticsQuery) -> list[_FilterGroup]:
    filters = [_Filter(each.dimension, each.operator, each.expression) for each in query.filters]
    return [_FilterGroup(filters)] if filters else []


def decode_page(query: SearchAnalyticsQuery, job: Job, content: bytes) -> Page:
    """The page in a 200 answer's body. A body without ``rows`` is an empty page.

    Raises:
        MalformedResponseError: not JSON, not an object, an error under a status of success, rows
            with other keys than were asked for, or more rows than were asked for.
    """
    for page in decode_page_in_steps(query, job, content):
        if page is not None:
            return page
    raise AssertionError("the last step gives the page")


def decode_page_in_steps(
    query: SearchAnalyticsQuery, job: Job, content: bytes
) -> Iterator[Page | None]:
    """The same, in steps of about `STEP_BYTES`: gives None after each, and the page at last."""
    rows: list[Row] = []
    try:
        if content.startswith(_BEFORE_ROWS):
            start = len(_BEFORE_ROWS)
            while (end := content.find(_BETWEEN_ROWS, start + STEP_BYTES)) >= 0:
                with collector_paused():
                    rows += _rows_decoder.decode(b"[%b]" % content[start : end + 1])
                start = end + 2
                yield None
            content_left = _BEFORE_ROWS + content[start:]
        else:
            content_left = content
        with collector_paused():
            response = _response_decoder.decode(content_left)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedResponseError(f"the answer is not a query response: {error}") from None
    if response.error is not msgspec.UNSET:
        raise MalformedResponseError("the answer says 200 and is an error all the same")
    rows += response.rows
    width = len(query.dimensions)
    if set(map(len, map(_keys_of, rows))) - {width}:
        raise MalformedResponseError(f"the answer has rows that do not have {width} keys")
    if len(rows) > query.row_limit:
        raise MalformedResponseError(
            f"the answer has {len(rows)} rows where {query.row_limit} were asked for"
        )
    yield Page(job=job, rows=rows, row_limit=query.row_limit, content_bytes=len(content))
