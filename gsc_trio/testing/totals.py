"""A simulated day adds up: whatever it is grouped by, it has the totals that Google would count.

The finest rows, by page and query, stand for what Google exposes. The totals have more: one click
in six is of a query that is anonymised, and of a day that is as long as Google lets it be there are
rows beyond. Rows without a query leave nothing out, so they are made to add up to the totals; those
by search appearance do not add up to anything, as Google's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from gsc_trio.model import Row

MAX_EXPOSED_ROWS = 50_000
"""Rows that the API exposes for a day and search type (Source: Search Analytics API limits)."""

RowStruct = TypeVar("RowStruct", bound=msgspec.Struct)


def is_balanced(dimensions: Sequence[str], finest: Sequence[str]) -> bool:
    """Whether rows by these dimensions are made to add up, rather than being what others add to."""
    names = set(dimensions) - {"date"}
    adds_to_itself = {"page", "query"} <= names or names == set(finest)
    return not (adds_to_itself or names & {"searchAppearance", "hour"})


def balanced(
    rows: Sequence[RowStruct], dimensions: Sequence[str], finest: Sequence[Row]
) -> list[RowStruct]:
    """The rows with other clicks and impressions: in all, what the totals have.

    Args:
        rows: with ``clicks``, ``impressions`` and ``ctr``, most clicks first.
        dimensions: what they are grouped by; rows by query leave out what is anonymised.
        finest: the rows that the totals follow from.
    """
    if not rows:
        return []
    has_more = len(finest[0].keys) > 1 and "query" not in dimensions
    is_capped = len(finest) >= MAX_EXPOSED_ROWS and "query" not in dimensions
    given, totals = [], []
    for name in ("clicks", "impressions"):
        total = sum(round(getattr(row, name)) for row in finest)
        totals.append(total + has_more * (total // 5) + is_capped * (total // 10))
        given.append([round(getattr(row, name) or 0) for row in rows])
    # One share for both, so that no row has more clicks than impressions.
    share = min(
        1.0, *(total / max(1, sum(each)) for total, each in zip(totals, given, strict=True))
    )
    columns = [_scaled(each, share, total) for total, each in zip(totals, given, strict=True)]
    return [
        msgspec.structs.replace(
            row, clicks=clicks, impressions=impressions, ctr=clicks / max(1, impressions)
        )
        for row, clicks, impressions in zip(rows, *columns, strict=True)
    ]


def _scaled(values: Sequence[int], share: float, total: int) -> list[int]:
    """Whole numbers, a share of each; what is missing to the total goes to the first."""
    scaled = [int(value * share) for value in values]
    scaled[0] += total - sum(scaled)
    return scaled
