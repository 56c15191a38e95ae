"""The datasets of a database as queries, so that what is stored can be asked for again."""

from __future__ import annotations

from collections.abc import Iterable

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.base import Coverage


def dataset_queries(coverages: Iterable[Coverage]) -> list[SearchAnalyticsQuery]:
    """What was asked for, in the order in which it is given; the data state is ``final``.

    By the hour it is ``hourly_all``, since there is no other.
    """
    return [
        SearchAnalyticsQuery(
            site_url=coverage.site_url,
            search_type=coverage.search_type,
            dimensions=coverage.dimensions,
            data_state="hourly_all" if "hour" in coverage.dimensions else "final",
            filters=coverage.filters,
            aggregation_type=coverage.aggregation_type,
        )
        for coverage in coverages
    ]
