"""What of a property a dataset counts, and how, as people say it."""

from __future__ import annotations

from collections.abc import Sequence

from gsc_trio.filters import DimensionFilter


def kind_text(filters: Sequence[DimensionFilter], aggregation_type: str) -> str:
    """What of the property is counted, and how; an empty text for all of it, as Google does."""
    text = f" where {' and '.join(map(str, filters))}" if filters else ""
    return text if aggregation_type == "auto" else f"{text} aggregated {aggregation_type}"
