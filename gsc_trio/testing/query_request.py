"""The body of searchanalytics.query as the fake reads it, and what Google would refuse of it.

The checks are written against the API reference, not with the client's: a client that asks for what
Google refuses must be told so here.
"""

from __future__ import annotations

import re
from functools import cached_property

import msgspec

from gsc_trio.filters import (
    FILTER_DIMENSIONS,
    MAX_REGEX_LENGTH,
    OPERATORS,
    DimensionFilter,
)
from gsc_trio.model import (
    AGGREGATION_TYPES,
    DATA_STATES,
    DIMENSIONS,
    MAX_ROW_LIMIT,
    SEARCH_TYPES,
    SEARCH_TYPES_WITHOUT_POSITION,
)


class RequestedFilter(msgspec.Struct, frozen=True):
    """A condition as it is written in a request."""

    dimension: str
    expression: str
    operator: str = "equals"


class FilterGroup(msgspec.Struct, rename="camel", frozen=True):
    """Conditions that must all hold."""

    filters: tuple[RequestedFilter, ...] = ()
    group_type: str = "and"


class QueryRequest(msgspec.Struct, rename="camel", dict=True):
    """The body of searchanalytics.query, as far as the fake understands it."""

    start_date: str
    end_date: str
    dimensions: tuple[str, ...] = ()
    type: str = "web"
    row_limit: int = 1_000
    start_row: int = 0
    data_state: str = "final"
    aggregation_type: str = "auto"
    dimension_filter_groups: tuple[FilterGroup, ...] = ()

    @cached_property
    def filters(self) -> tuple[RequestedFilter, ...]:
        """The conditions of all groups."""
        return tuple(each for group in self.dimension_filter_groups for each in group.filters)

    @property
    def touched(self) -> set[str]:
        """Dimensions that rows are grouped or filtered by."""
        return {*self.dimensions, *(each.dimension for each in self.filters)}

    @property
    def aggregated_by(self) -> str:
        """The ``responseAggregationType``."""
        if self.aggregation_type != "auto":
            return self.aggregation_type
        is_by_page = "page" in self.touched or self.type in SEARCH_TYPES_WITHOUT_POSITION
        return "byPage" if is_by_page else "byProperty"


def refusal_of(request: QueryRequest) -> str | None:
    """What Google says of a query that it does not take; None if it takes it."""
    checks = {**_general_checks(request), **_kind_checks(request)}
    refusals = (message for message, is_fine in checks.items() if not is_fine)
    return next(refusals, None) or next(filter(None, map(_filter_refusal, request.filters)), None)


def _general_checks(request: QueryRequest) -> dict[str, bool]:
    dimensions = request.dimensions
    return {
        "'startDate' must be before 'endDate'.": request.start_date <= request.end_date,
        f"Invalid value at 'dimensions': {dimensions}.": (set(dimensions) <= {*DIMENSIONS, "date"}),
        "Duplicate dimension.": len(set(dimensions)) == len(dimensions),
        f"Invalid value at 'type': {request.type}.": request.type in SEARCH_TYPES,
        f"Invalid value at 'dataState': {request.data_state}.": request.data_state in DATA_STATES,
        f"Invalid value at 'aggregationType': {request.aggregation_type}.": (
            request.aggregation_type in AGGREGATION_TYPES
        ),
        "Invalid value at 'groupType'.": all(
            group.group_type == "and" for group in request.dimension_filter_groups
        ),
        f"'rowLimit' must be in the range [1,{MAX_ROW_LIMIT}].": (
            1 <= request.row_limit <= MAX_ROW_LIMIT
        ),
        "'startRow' must not be negative.": request.start_row >= 0,
    }


def _kind_checks(request: QueryRequest) -> dict[str, bool]:
    dimensions, touched = request.dimensions, request.touched
    has_position = request.type not in SEARCH_TYPES_WITHOUT_POSITION
    return {
        "searchAppearance cannot be grouped with another dimension.": (
            "searchAppearance" not in dimensions or len(dimensions) == 1
        ),
        "The hour dimension needs dataState hourly_all.": (
            ("hour" in dimensions) == (request.data_state == "hourly_all")
        ),
        "The query dimension is not supported for this type.": (
            has_position or "query" not in touched
        ),
        "The device dimension is not supported for discover.": (
            request.type != "discover" or "device" not in touched
        ),
        "byProperty is not supported for this type.": (
            request.aggregation_type != "byProperty" or has_position
        ),
        "byProperty is not supported when grouping or filtering by page.": (
            request.aggregation_type != "byProperty" or "page" not in touched
        ),
        "byNewsShowcasePanel needs the NEWS_SHOWCASE filter.": (
            request.aggregation_type != "byNewsShowcasePanel"
            or (not has_position and "page" not in touched and _is_news_showcase(request))
        ),
    }


def _is_news_showcase(request: QueryRequest) -> bool:
    appearances = {each for each in request.filters if each.dimension == "searchAppearance"}
    return appearances == {RequestedFilter("searchAppearance", "NEWS_SHOWCASE")}


def _filter_refusal(each: RequestedFilter) -> str | None:
    if each.dimension not in FILTER_DIMENSIONS:
        return f"Invalid value at 'dimension': {each.dimension}."
    if each.operator not in OPERATORS:
        return f"Invalid value at 'operator': {each.operator}."
    if each.operator.endswith("Regex"):
        try:
            re.compile(each.expression)  # the nearest to RE2 in the standard library
        except re.error as error:
            return f"Invalid regular expression: {error}."
        if len(each.expression) > MAX_REGEX_LENGTH:
            return "The regular expression is too long."
    return None


def requested(filters: tuple[DimensionFilter, ...]) -> tuple[FilterGroup, ...]:
    """A query's filters as they are written in its requests."""
    group = FilterGroup(
        tuple(RequestedFilter(each.dimension, each.expression, each.operator) for each in filters)
    )
    return (group,) if filters else ()
