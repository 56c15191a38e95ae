"""What the fake answers to one call: Google's checks, Google's words, the property's rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache

import attrs
import msgspec

from gsc_trio.dates import FINAL_LAG_DAYS, HOURLY_DAYS, oldest_hourly_day
from gsc_trio.testing.kinds import rows_of_kind
from gsc_trio.testing.property import SimulatedProperty
from gsc_trio.testing.query_request import QueryRequest, refusal_of
from gsc_trio.testing.spliced_gzip import DeflatedPiece, deflate

ORIGIN_HEADER = "x-gsc-trio-origin"
"""The fake says by it where its rows are from, so that no recording of it passes for Google's."""


@attrs.frozen
class Answer:
    """An HTTP answer, of its own or as a part."""

    status: int
    body: bytes | DeflatedPiece
    """As it is, or compressed ahead of time."""
    rows: int = 0
    """How many rows are in it."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    content_type: str = "application/json; charset=UTF-8"

    @property
    def content(self) -> bytes:
        """The body as it is."""
        return self.body if isinstance(self.body, bytes) else self.body.content()

    @property
    def length(self) -> int:
        """How long the body is, in bytes."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


_request_decoder = msgspec.json.Decoder(QueryRequest)


def error(
    status: int,
    reason: str,
    message: str,
    *,
    domain: str = "global",
    retry_after: str | None = None,
) -> Answer:
    """An error in Google's envelope."""
    detail = {"message": message, "domain": domain, "reason": reason}
    envelope = {"error": {"code": status, "message": message, "errors": [detail]}}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    content = msgspec.json.format(msgspec.json.encode(envelope), indent=2)
    return Answer(status, content, headers=headers)


def no_permission(site_url: str) -> Answer:
    """What Google says of a property that the user may not see, or that does not exist."""
    return error(
        403,
        "forbidden",
        f"User does not have sufficient permission for site '{site_url}'. See also: "
        "https://support.google.com/webmasters/answer/2451999.",
    )


def too_fast() -> Answer:
    """What Google says when the queries per minute or second are used up."""
    message = "Search Analytics QPS quota exceeded. Learn about usage limits: https://developers.google.com/webmaster-tools/limits"
    return error(403, "quotaExceeded", message, domain="usageLimits")


def unauthenticated() -> Answer:
    """What Google says of an access token that it does not know."""
    return error(401, "authError", "Invalid Credentials")


def parse_query(content: bytes) -> QueryRequest | Answer:
    """Read and check a query; returns Google's refusal if it is not one it would take."""
    try:
        request = _request_decoder.decode(content)
        dt.date.fromisoformat(request.start_date)
        dt.date.fromisoformat(request.end_date)
    except (msgspec.DecodeError, ValueError) as problem:
        return error(400, "badRequest", f"Invalid value: {problem}")
    message = refusal_of(request)
    return request if message is None else error(400, "invalidParameter", message)


def answer_query(
    simulated: SimulatedProperty,
    request: QueryRequest,
    last_final_day: dt.date | None,
    new_rows: int = 0,
) -> Answer:
    """The rows that a query asks for. Several days come one after another.

    Args:
        simulated: whose rows they are.
        request: what is asked for.
        last_final_day: the newest day that is final, or None if all are.
        new_rows: how many rows have come in at the top that nobody knew of.
    """
    start, end = (dt.date.fromisoformat(day) for day in (request.start_date, request.end_date))
    if request.data_state == "final" and last_final_day is not None:
        end = min(end, last_final_day)
    if request.data_state == "hourly_all" and last_final_day is not None:
        today = last_final_day + dt.timedelta(days=FINAL_LAG_DAYS)
        if start < oldest_hourly_day(today):
            message = f"Hourly data is available for the last {HOURLY_DAYS} days only."
            return error(400, "invalidParameter", message)
        end = min(end, today)
    rows = [_new_row(number, request.dimensions) for number in range(new_rows)]
    for ordinal in range(start.toordinal(), end.toordinal() + 1):
        day = dt.date.fromordinal(ordinal)
        rows += rows_of_kind(simulated, day, request.type, request.dimensions, request.filters)
    rows = rows[request.start_row : request.start_row + request.row_limit]
    head = b'{"rows":[' + b",".join(rows) + b"]," if rows else b"{"
    content = head + f'"responseAggregationType":"{request.aggregated_by}"}}'.encode()
    return Answer(200, content, rows=len(rows), headers={ORIGIN_HEADER: "simulated"})


def pretty_printed(answer: Answer) -> Answer:
    """The answer as Google gives it to those who do not ask for ``prettyPrint=false``."""
    if isinstance(answer.body, bytes):
        return attrs.evolve(answer, body=msgspec.json.format(answer.body, indent=2))
    return attrs.evolve(answer, body=_pretty_printed_piece(answer.body))


@lru_cache(maxsize=1_024)
def _pretty_printed_piece(piece: DeflatedPiece) -> DeflatedPiece:
    return deflate(msgspec.json.format(piece.content(), indent=2))


def _new_row(number: int, dimensions: tuple[str, ...]) -> bytes:
    keys = [f"new {dimension} {number}" for dimension in dimensions]
    return msgspec.json.encode({"keys": keys, "clicks": 9_999, "impressions": 9_999, "position": 1})
