"""SQL to try next, for what was just fetched, as commands that can be pasted into a shell."""

from __future__ import annotations

import datetime as dt
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_trio.export.dataset import Dataset
from gsc_trio.filters import filters_as_text
from gsc_trio.model import SEARCH_TYPES_WITHOUT_POSITION, SearchAnalyticsQuery
from gsc_trio.store.schema import column_of, dimensions_as_text

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

LAST_DAYS = 28


def example_commands(
    query: SearchAnalyticsQuery, database: Location, last_day: dt.date
) -> list[str]:
    """Commands for a shell, one a line."""
    place = shlex.quote(str(database))
    if isinstance(database, Path):
        program, rounded_as = f"sqlite3 -box {place}", "{}"
    else:  # Postgres rounds nothing else to decimals
        program, rounded_as = f"psql {place} -c", "({})::numeric"
    queries = example_queries(query, last_day, rounded_as)
    commands = [f"{program} {_quoted(sql)}" for sql in queries]
    return [f"gsc-trio status --db {place}", *commands]


def parquet_commands(query: SearchAnalyticsQuery, folder: Path, last_day: dt.date) -> list[str]:
    """The same for a folder of Parquet files."""
    dataset = Dataset.of_query(query)
    files = _literal(str(folder / dataset.name / "**" / "*.parquet"))
    conditions = [f"{name} = {_literal(value)}" for name, value in dataset.names.items() if value]
    chosen = (
        f"FROM read_parquet({files}, hive_partitioning = true) WHERE {' AND '.join(conditions)}"
    )
    queries = map(_quoted, _queries(query, last_day, dataset.position, chosen))
    return [
        f"gsc-trio status --db {shlex.quote(str(folder))}",
        *(f"duckdb -c {sql}" for sql in queries),
    ]


def example_queries(
    query: SearchAnalyticsQuery, last_day: dt.date, rounded_as: str = "{}"
) -> list[str]:
    """Clicks by day, and the top values of the last dimension over four weeks.

    Args:
        query: whose.
        last_day: the newest.
        rounded_as: how a number is written that is to be rounded.
    """
    view, position = _view_of(query)
    chosen = (
        f"FROM {view} WHERE site_url = {_literal(query.site_url)} "
        f"AND search_type = {_literal(query.search_type)} "
        f"AND dimensions = {_literal(dimensions_as_text(query.dimensions))}"
    )
    if view in {"filtered_impression", "hourly_impression"}:
        chosen += f" AND filters = {_literal(filters_as_text(query.filters))}"
        chosen += f" AND aggregation_type = {_literal(query.aggregation_type)}"
    return _queries(query, last_day, position, chosen, rounded_as)


def _queries(
    query: SearchAnalyticsQuery,
    last_day: dt.date,
    position: str,
    chosen: str,
    rounded_as: str = "{}",
) -> list[str]:
    sums = "SUM(clicks) AS clicks, SUM(impressions) AS impressions"
    by_day = f"SELECT data_date, {sums} {chosen} GROUP BY 1 ORDER BY 1 DESC LIMIT 7"
    if not query.dimensions:
        return [by_day]
    if query.search_type not in SEARCH_TYPES_WITHOUT_POSITION:
        average = f"SUM({position}) / SUM(impressions) + 1"
        sums += f", ROUND({rounded_as.format(average)}, 1) AS position"
    dimension = query.dimensions[-1]
    column = "url" if dimension == "page" else column_of(dimension)
    first_day = last_day - dt.timedelta(days=LAST_DAYS - 1)
    chosen += f" AND data_date >= '{first_day}'"
    return [by_day, f"SELECT {column}, {sums} {chosen} GROUP BY 1 ORDER BY 2 DESC LIMIT 10"]


def _view_of(query: SearchAnalyticsQuery) -> tuple[str, str]:
    """Where a query's rows are, and what their positions are called there."""
    if query.is_hourly:
        return "hourly_impression", "sum_position"
    if not query.is_whole:
        return "filtered_impression", "sum_position"
    if "page" in query.dimensions:
        return "searchdata_url_impression", "sum_position"
    return "searchdata_site_impression", "sum_top_position"


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return "||char(10)||".join(f"'{line}'" for line in escaped.split("\n"))


def _quoted(sql: str) -> str:
    """Quoted for a shell, in double quotes where that is safe, as people write SQL there."""
    return shlex.quote(sql) if set(sql) & set('"$`\\!') else f'"{sql}"'
