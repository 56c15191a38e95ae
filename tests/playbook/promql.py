"""What a PromQL expression names: metrics, and labels of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Expr, VectorSelector

RANGE_VARIABLES = ("$__rate_interval", "$__interval", "$__range")
"""What Grafana puts a duration in place of."""


def parsed(expression: str) -> Expr:
    """The syntax tree; Grafana's variables are taken for a minute."""
    for variable in RANGE_VARIABLES:
        expression = expression.replace(variable, "1m")
    return promql_parser.parse(expression)


def metrics_and_labels(expression: str) -> dict[str, set[str]]:
    """The metrics of an expression, each with the labels that are asked of it.

    Labels by which is grouped or matched are asked of every metric below.
    """
    found: dict[str, set[str]] = {}
    for selector, grouped in _selectors(parsed(expression), frozenset()):
        matchers = {matcher.name for matcher in selector.matchers.matchers}
        found.setdefault(selector.name or "", set()).update(matchers, grouped)
    return found


def label_values(expression: str) -> set[tuple[str, str]]:
    """Labels with the patterns that they must match, but for Grafana's variables."""
    return {
        (matcher.name, matcher.value)
        for selector, _ in _selectors(parsed(expression), frozenset())
        for matcher in selector.matchers.matchers
        if not matcher.value.startswith("$")
    }


def _selectors(
    node: Expr, grouped: frozenset[str]
) -> Iterator[tuple[VectorSelector, frozenset[str]]]:
    match node:
        case VectorSelector():
            yield node, grouped
        case promql_parser.MatrixSelector():
            yield node.vector_selector, grouped
        case AggregateExpr():
            # What an outer expression groups by must come through this one, so it is named here.
            labels = node.modifier.labels if node.modifier is not None else ()
            yield from _selectors(node.expr, frozenset(labels))
        case BinaryExpr():
            matching = node.modifier.matching if node.modifier is not None else None
            labels = matching.labels if matching is not None else ()
            for side in (node.lhs, node.rhs):
                yield from _selectors(side, grouped.union(labels))
        case promql_parser.Call():
            yield from _of_each(node.args, grouped)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _selectors(node.expr, grouped)
        case _:  # numbers and strings
            return


def _of_each(
    nodes: Iterable[Expr], grouped: frozenset[str]
) -> Iterator[tuple[VectorSelector, frozenset[str]]]:
    for node in nodes:
        yield from _selectors(node, grouped)
