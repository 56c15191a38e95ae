"""Ready-made views: what people ask of Search Console data first, as SQL that is right.

``performance_by_page``, ``performance_by_query`` and ``performance_by_week`` sum up all that is
stored. ``page_movers`` and ``query_movers`` hold the newest four weeks of a dataset against the
four before; ``cannibalisation`` has the queries for which several pages competed in the newest.

Positions are weighted by impressions and counted from 1: an average of averages would be wrong. A
site that is kept with several sets of dimensions is in a view once for each of them, told apart by
``dimensions``, since the same clicks are in all of them. Hours, and what was asked for with
filters, are left out: they are parts of what is there already.

Cost: one pass over the days that count, and a sort. Rows are grouped by the dataset's names instead
of its number, since SQLite moves a condition into the pass only if its column is grouped by: with
``WHERE site_url = …`` a large neighbour costs nothing. The names come last, where they cost nothing
either: most comparisons of the sort end at the page or query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from gsc_trio.store.views import WHOLE

if TYPE_CHECKING:
    from sqlite_utils import Database

PERIOD_DAYS = 28
"""Whole weeks, so that both periods have as many weekends."""

LEAST_SHARE = 0.1
"""A page competes for a query if it has at least this part of the query's impressions."""

_DATASET = "dataset.site_url, dataset.search_type, dataset.dimensions"

_FROM_STORED = (
    f"FROM {{table}} AS stored JOIN dataset ON dataset.id = stored.dataset_id AND {WHOLE}"
)

_RANKED = "IIF(stored.sum_position IS NULL, NULL, stored.impressions)"
"""Impressions that have a position."""

_SUMS = f"""SUM(stored.clicks) AS clicks, SUM(stored.impressions) AS impressions,
  1.0 * SUM(stored.clicks) / SUM(stored.impressions) AS ctr,
  SUM(stored.sum_position) / SUM({_RANKED}) + 1 AS position"""

_TOTALS = f"""SELECT {_DATASET}, stored.{{column}} AS {{name}}, {_SUMS},
  MIN(stored.data_date) AS first_date, MAX(stored.data_date) AS last_date
{_FROM_STORED}
GROUP BY stored.{{column}}, {_DATASET}"""

# By day first: that is the order in which rows are kept, so nothing has to be sorted.
_WEEKS = f"""SELECT {_DATASET}, date(data_date, '-6 days', 'weekday 1') AS week,
  SUM(clicks) AS clicks, SUM(impressions) AS impressions,
  1.0 * SUM(clicks) / SUM(impressions) AS ctr,
  SUM(sum_position) / SUM(ranked_impressions) + 1 AS position, COUNT(*) AS days
FROM (
  SELECT dataset_id, data_date, SUM(clicks) AS clicks, SUM(impressions) AS impressions,
    SUM(sum_position) AS sum_position, SUM({_RANKED}) AS ranked_impressions
  FROM {{table}} AS stored GROUP BY dataset_id, data_date
) JOIN dataset ON dataset.id = dataset_id AND {WHOLE}
GROUP BY {_DATASET}, week"""

_FROM_PERIOD = "FROM period AS dataset JOIN {table} AS stored ON stored.dataset_id = dataset.id"

# The newest day is each dataset's own: that of a site that is not fetched any more is long past.
_PERIODS = f"""WITH newest AS MATERIALIZED (
  SELECT dataset.*, (SELECT MAX(data_date) FROM {{table}} WHERE dataset_id = id) AS last_date
  FROM dataset WHERE {WHOLE}
), bounded AS MATERIALIZED (
  SELECT *, date(last_date, '-{PERIOD_DAYS - 1} days') AS first_date,
    date(last_date, '-{2 * PERIOD_DAYS - 1} days') AS first_date_before
  FROM newest WHERE last_date IS NOT NULL
), period AS MATERIALIZED (
  SELECT *,
    (SELECT COUNT(DISTINCT data_date) FROM page_ledger
      WHERE dataset_id = id AND data_date BETWEEN first_date AND last_date) AS days,
    (SELECT COUNT(DISTINCT data_date) FROM page_ledger WHERE dataset_id = id
      AND data_date >= first_date_before AND data_date < first_date) AS days_before
  FROM bounded
)"""


def _sums_of_period(suffix: str, is_in_period: str) -> str:
    return f"""COALESCE(SUM(stored.clicks) FILTER (WHERE {is_in_period}), 0) AS clicks{suffix},
  COALESCE(SUM(stored.impressions) FILTER (WHERE {is_in_period}), 0) AS impressions{suffix},
  SUM(stored.sum_position) FILTER (WHERE {is_in_period})
    / SUM({_RANKED}) FILTER (WHERE {is_in_period}) + 1 AS position{suffix}"""


_MOVERS = f"""SELECT site_url, search_type, dimensions, {{name}},
  clicks - clicks_before AS clicks_change, clicks, clicks_before,
  impressions, impressions_before, position, position_before, last_date, days, days_before
FROM (
{_PERIODS}
SELECT {_DATASET}, stored.{{column}} AS {{name}},
  {_sums_of_period("", "stored.data_date >= dataset.first_date")},
  {_sums_of_period("_before", "stored.data_date < dataset.first_date")},
  dataset.last_date, dataset.days, dataset.days_before
{_FROM_PERIOD} AND stored.data_date >= dataset.first_date_before
GROUP BY stored.{{column}}, {_DATASET}
)"""

_CANNIBALISATION = f"""SELECT * FROM (
{_PERIODS}, page AS (
  SELECT {_DATASET}, stored.query, stored.page AS url, {_SUMS}
  {_FROM_PERIOD} AND stored.data_date >= dataset.first_date
  GROUP BY stored.query, stored.page, {_DATASET}
), shared AS (
  SELECT *, 1.0 * impressions / SUM(impressions) OVER query AS share,
    SUM(clicks) OVER query AS query_clicks
  FROM page
  WINDOW query AS (PARTITION BY query, site_url, search_type, dimensions)
), competing AS (
  SELECT *, COUNT(*) OVER query AS pages FROM shared WHERE share >= {LEAST_SHARE}
  WINDOW query AS (PARTITION BY query, site_url, search_type, dimensions)
)
SELECT * FROM competing WHERE pages > 1
)"""


# Stands for a table when there is none yet, so that a view has its columns from the start.
_NO_ROWS = """(SELECT NULL AS dataset_id, NULL AS data_date, NULL AS page, NULL AS query,
  NULL AS clicks, NULL AS impressions, NULL AS sum_position WHERE 0)"""


@attrs.frozen
class View:
    """A ready-made view."""

    name: str
    template: str
    """The SQL over one ``{table}``."""
    needs: frozenset[str] = frozenset()
    """Dimensions without which a table has nothing to tell here."""

    def over(self, table: str) -> str:
        """The SQL for one table; what is grouped by is called as in BigQuery's bulk export."""
        column = next(iter(self.needs), "")
        return self.template.format(
            table=table, column=column, name="url" if column == "page" else column
        )


VIEWS = (
    View("performance_by_page", _TOTALS, frozenset({"page"})),
    View("performance_by_query", _TOTALS, frozenset({"query"})),
    View("performance_by_week", _WEEKS),
    View("page_movers", _MOVERS, frozenset({"page"})),
    View("query_movers", _MOVERS, frozenset({"query"})),
    View("cannibalisation", _CANNIBALISATION, frozenset({"page", "query"})),
)


def create_report_views(database: Database, tables: Mapping[tuple[str, ...], str]) -> None:
    """Create the views over these tables; a view that is there and right already is left alone.

    Args:
        database: where they are created, in the caller's transaction.
        tables: the table of each set of dimensions.
    """
    for view in VIEWS:
        chosen = [
            table
            for dimensions, table in sorted(tables.items())
            if view.needs.issubset(dimensions) and "hour" not in dimensions
        ]
        sql = "\nUNION ALL\n".join(map(view.over, chosen or [_NO_ROWS]))
        database.create_view(view.name, sql, replace=True)
