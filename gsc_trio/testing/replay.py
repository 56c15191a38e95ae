"""A property from a cassette: the fake Search Console gives its answers as they were recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import attrs

from gsc_trio.testing.answers import ORIGIN_HEADER, Answer, error
from gsc_trio.testing.cassette import Cassette, Origin, RecordedAnswer, RecordedRequest
from gsc_trio.testing.query_request import QueryRequest


@attrs.frozen
class RecordedProperty:
    """A property whose answers are in a cassette; made by `recorded_properties`."""

    site_url: str
    answers: Mapping[RecordedRequest, RecordedAnswer] = attrs.field(repr=False)
    origin: Origin
    """Where they are from; it is said with each."""

    def answer(self, request: QueryRequest) -> Answer:
        """What was recorded, still compressed, or a refusal that says what is not there."""
        recorded = self.answers.get(
            RecordedRequest(
                site_url=self.site_url,
                search_type=request.type,
                dimensions=request.dimensions,
                data_date=dt.date.fromisoformat(request.start_date),
                start_row=request.start_row,
                row_limit=request.row_limit,
                data_state=request.data_state,
                filters=tuple(
                    f"{each.dimension}:{each.operator}:{each.expression}"
                    for each in request.filters
                ),
                aggregation_type=request.aggregation_type,
            )
        )
        if recorded is None or request.end_date != request.start_date:
            return error(
                400,
                "invalidParameter",
                f"The cassette has no answer for {request.start_date} to {request.end_date} by "
                f"{', '.join(request.dimensions)}, type {request.type}, {request.data_state} data, "
                f"{request.row_limit} rows from row {request.start_row}.",
            )
        headers = {**recorded.headers, ORIGIN_HEADER: self.origin}
        content_type = headers.pop("content-type", "application/json; charset=UTF-8")
        return Answer(
            recorded.status,
            recorded.body,
            rows=recorded.rows,
            headers=headers,
            content_type=content_type,
        )


def recorded_properties(cassette: Cassette) -> list[RecordedProperty]:
    """The properties that a cassette has answers of, for `FakeSearchConsole`."""
    sites = dict.fromkeys(request.site_url for request in cassette.answers)
    return [RecordedProperty(site_url, cassette.answers, cassette.origin) for site_url in sites]
