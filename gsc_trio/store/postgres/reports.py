"""The ready-made views of `gsc_trio.store.reports` in Postgres' SQL.

They give the same rows; what the SQL does is told there. What differs is how days are reckoned
with, and that sums of whole numbers stay whole numbers.

Cost: one pass over the days that count, by the partitions that have them, and a sort or hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import psycopg

from gsc_trio.store.reports import LEAST_SHARE, PERIOD_DAYS
from gsc_trio.store.views import WHOLE

_DATASET = "dataset.site_url, dataset.search_type, dataset.dimensions"

_FROM_STORED = (
    f"FROM {{table}} AS stored JOIN dataset ON dataset.id = stored.dataset_id AND {WHOLE}"
)

_IS_RANKED = "stored.sum_position IS NOT NULL"

_SUMS = f"""SUM(stored.clicks)::bigint AS clicks, SUM(stored.impressions)::bigint AS impressions,
  SUM(stored.clicks)::float8 / NULLIF(SUM(stored.impressions), 0)::float8 AS ctr,
  SUM(stored.sum_position)
    / NULLIF(SUM(stored.impressions) FILTER (WHERE {_IS_RANKED}), 0)::float8 + 1 AS position"""

_TOTALS = f"""SELECT {_DATASET}, stored.{{column}} AS {{name}}, {_SUMS},
  MIN(stored.data_date) AS first_date, MAX(stored.data_date) AS last_date
{_FROM_STORED}
GROUP BY stored.{{column}}, {_DATASET}"""

_WEEKS = f"""SELECT {_DATASET}, date_trunc('week', data_date)::date AS week,
  SUM(clicks)::bigint AS clicks, SUM(impressions)::bigint AS impressions,
  SUM(clicks)::float8 / NULLIF(SUM(impressions), 0)::float8 AS ctr,
  SUM(sum_position) / NULLIF(SUM(ranked_impressions), 0)::float8 + 1 AS position,
  COUNT(*) AS days
FROM (
  SELECT dataset_id, data_date, SUM(clicks) AS clicks, SUM(impressions) AS impressions,
    SUM(sum_position) AS sum_position,
    SUM(impressions) FILTER (WHERE {_IS_RANKED}) AS ranked_impressions
  FROM {{table}} AS stored GROUP BY dataset_id, data_date
) AS by_day JOIN dataset ON dataset.id = dataset_id AND {WHOLE}
GROUP BY {_DATASET}, week"""

_FROM_PERIOD = "FROM period AS dataset JOIN {table} AS stored ON stored.dataset_id = dataset.id"

_PERIODS = f"""WITH newest AS MATERIALIZED (
  SELECT dataset.*, (SELECT MAX(data_date) FROM {{table}} AS stored WHERE dataset_id = id)
    AS last_date
  FROM dataset WHERE {WHOLE}
), bounded AS MATERIALIZED (
  SELECT *, last_date - {PERIOD_DAYS - 1} AS first_date,
    last_date - {2 * PERIOD_DAYS - 1} AS first_date_before
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
    return f"""COALESCE(SUM(stored.clicks) FILTER (WHERE {is_in_period}), 0)::bigint
    AS clicks{suffix},
  COALESCE(SUM(stored.impressions) FILTER (WHERE {is_in_period}), 0)::bigint
    AS impressions{suffix},
  SUM(stored.sum_position) FILTER (WHERE {is_in_period})
    / NULLIF(SUM(stored.impressions) FILTER (WHERE {_IS_RANKED} AND {is_in_period}), 0)::float8
    + 1 AS position{suffix}"""


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
GROUP BY stored.{{column}}, {_DATASET}, dataset.last_date, dataset.days, dataset.days_before
) AS mover"""

_CANNIBALISATION = f"""SELECT * FROM (
{_PERIODS}, page AS (
  SELECT {_DATASET}, stored.query, stored.page AS url, {_SUMS}
  {_FROM_PERIOD} AND stored.data_date >= dataset.first_date
  GROUP BY stored.query, stored.page, {_DATASET}
), shared AS (
  SELECT *, impressions::float8 / NULLIF(SUM(impressions) OVER query, 0)::float8 AS share,
    (SUM(clicks) OVER query)::bigint AS query_clicks
  FROM page
  WINDOW query AS (PARTITION BY query, site_url, search_type, dimensions)
), competing AS (
  SELECT *, COUNT(*) OVER query AS pages FROM shared WHERE share >= {LEAST_SHARE}
  WINDOW query AS (PARTITION BY query, site_url, search_type, dimensions)
)
SELECT * FROM competing WHERE pages > 1
) AS competing"""


# Stands for a table when there is none yet, so that a view has its columns, with their types.
_NO_ROWS = """(SELECT NULL::integer AS dataset_id, NULL::date AS data_date,
  NULL::text COLLATE "C" AS page, NULL::text COLLATE "C" AS query, NULL::bigint AS clicks,
  NULL::bigint AS impressions, NULL::float8 AS sum_position WHERE false)"""


@attrs.frozen
class _View:
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


_VIEWS = (
    _View("performance_by_page", _TOTALS, frozenset({"page"})),
    _View("performance_by_query", _TOTALS, frozenset({"query"})),
    _View("performance_by_week", _WEEKS),
    _View("page_movers", _MOVERS, frozenset({"page"})),
    _View("query_movers", _MOVERS, frozenset({"query"})),
    _View("cannibalisation", _CANNIBALISATION, frozenset({"page", "query"})),
)


def create_report_views(
    connection: psycopg.Connection[tuple[Any, ...]], tables: Mapping[tuple[str, ...], str]
) -> None:
    """Create the views over these tables.

    Args:
        connection: in the caller's transaction.
        tables: the table of each set of dimensions.
    """
    for view in _VIEWS:
        chosen = [
            table
            for dimensions, table in sorted(tables.items())
            if view.needs.issubset(dimensions) and "hour" not in dimensions
        ]
        sql = "\nUNION ALL\n".join(map(view.over, chosen or [_NO_ROWS]))
        connection.execute(f"CREATE OR REPLACE VIEW {view.name} AS {sql}")
