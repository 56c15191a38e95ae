"""Dimension filters: which rows count, told by what one of their dimensions is or holds.

Responsible for: what a filter may be, how it is written as a text, and that what Google would
refuse is refused before a request is spent on it.

A text is ``DIMENSION:OPERATOR:EXPRESSION``, as ``page:contains:/shop/``; everything after the
second colon is the expression. All filters of a query must hold: Google knows no other way to
join them.

Source: API reference, searchanalytics.query, ``dimensionFilterGroups``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from gsc_trio.errors import UsageError

FILTER_DIMENSIONS = ("page", "query", "country", "device", "searchAppearance")
"""What can be filtered by; there is no filter on date or hour."""

OPERATORS = (
    "equals",
    "notEquals",
    "contains",
    "notContains",
    "includingRegex",
    "excludingRegex",
)
"""How an expression is held against a value; contains and notContains ignore case."""

MAX_REGEX_LENGTH = 4_096
"""Characters of a regular expression (Source: API reference, ``expression``)."""

DEVICES = ("DESKTOP", "MOBILE", "TABLET")

_FORM = "write DIMENSION:OPERATOR:EXPRESSION, as page:contains:/shop/"
_COUNTRY = re.compile("[a-z]{3}")

_REGEX_PIECE = re.compile(
    r"\\Q.*?(?:\\E|$)"  # literal text
    r"|\\[1-9]|\\k<"  # a back reference
    r"|\\."
    r"|\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\]"  # a class of characters
    r"|\(\?(?:<?[=!]|>)"  # looking around, an atomic group
    r"|.",
    re.DOTALL,
)
"""One piece of a regular expression after the other, as far as RE2 and others differ in it."""


@attrs.frozen
class DimensionFilter:
    """One condition on rows.

    What Google writes in one way only is brought into it: a country is lower-case, a device
    upper-case, so that equal filters are equal.

    Args:
        dimension: one of `FILTER_DIMENSIONS`.
        operator: one of `OPERATORS`.
        expression: what the value is held against; for the two regular ones in RE2's syntax.

    Raises:
        UsageError: Google would refuse it, or it could never hold; it says what is allowed.
    """

    dimension: str
    operator: str
    expression: str

    def __attrs_post_init__(self) -> None:
        if self.dimension not in FILTER_DIMENSIONS:
            raise UsageError(
                f"there is no filter on {self.dimension!r}: use one of "
                f"{', '.join(FILTER_DIMENSIONS)}"
            )
        if self.operator not in OPERATORS:
            raise UsageError(
                f"unknown filter operator {self.operator!r}: use one of {', '.join(OPERATORS)}"
            )
        if not self.expression:
            raise UsageError(f"the filter on {self.dimension} has no expression: {_FORM}")
        if not self.expression.isprintable():
            raise UsageError(f"the filter on {self.dimension} has control characters in it")
        if self.operator in {"includingRegex", "excludingRegex"}:
            _check_regex(self.expression)
        elif self.operator in {"equals", "notEquals"}:
            object.__setattr__(self, "expression", self._as_google_writes_it())

    def _as_google_writes_it(self) -> str:
        if self.dimension == "country":
            country = self.expression.lower()
            if not _COUNTRY.fullmatch(country):
                raise UsageError(
                    f"{self.expression!r} is no country: write its three letters (ISO 3166-1 "
                    "alpha-3), as usa or deu"
                )
            return country
        if self.dimension == "device":
            device = self.expression.upper()
            if device not in DEVICES:
                raise UsageError(
                    f"{self.expression!r} is no device: use one of {', '.join(DEVICES)}"
                )
            return device
        return self.expression

    def __str__(self) -> str:
        return f"{self.dimension}:{self.operator}:{self.expression}"


def parse_filter(text: str) -> DimensionFilter:
    """Read a filter from its text.

    Raises:
        UsageError: it is not of that form, or not a filter that Google takes.
    """
    dimension, colon, rest = text.partition(":")
    operator, second_colon, expression = rest.partition(":")
    if not (colon and second_colon):
        raise UsageError(f"{text!r} is no filter: {_FORM}")
    return DimensionFilter(dimension.strip(), operator.strip(), expression)


def normalise_filters(filters: Iterable[DimensionFilter]) -> tuple[DimensionFilter, ...]:
    """Each filter once, in one order: all of them must hold, so their order means nothing."""
    return tuple(
        sorted(
            set(filters),
            key=lambda each: (
                FILTER_DIMENSIONS.index(each.dimension),
                OPERATORS.index(each.operator),
                each.expression,
            ),
        )
    )


def filters_as_text(filters: Iterable[DimensionFilter]) -> str:
    """How a database names a query's filters: one a line, nothing for none."""
    return "\n".join(map(str, filters))


def filters_from_text(text: str) -> tuple[DimensionFilter, ...]:
    """The inverse of `filters_as_text`."""
    return tuple(map(parse_filter, text.splitlines()))


def _check_regex(expression: str) -> None:
    """Refuse what RE2 surely does not take; what it takes beyond that is Google's to say."""
    if len(expression) > MAX_REGEX_LENGTH:
        raise UsageError(
            f"a regular expression of {len(expression):,} characters: Google takes at most "
            f"{MAX_REGEX_LENGTH:,}"
        )
    depth = 0
    for piece in _REGEX_PIECE.findall(expression):
        if piece.startswith("(?") and len(piece) > 2:
            raise UsageError(
                f"{expression!r} is no regular expression for Google: RE2 has no {piece}…), it "
                "cannot look ahead or behind"
            )
        if piece.startswith("\\k") or re.fullmatch(r"\\[1-9]", piece):
            raise UsageError(
                f"{expression!r} is no regular expression for Google: RE2 has no {piece}, it "
                "cannot refer back to a group"
            )
        depth += (piece == "(") - (piece == ")")
        if piece in {"[", "\\"} or depth < 0:
            break
    else:
        if depth == 0:
            return
    raise UsageError(
        f"{expression!r} is no regular expression: a bracket, parenthesis or backslash is left open"
    )
