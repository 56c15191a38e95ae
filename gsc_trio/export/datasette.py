"""What Datasette shows of a database: what tables and columns mean, and queries to begin with.

``datasette gsc.db --metadata metadata.json`` with this in the file is a page for people who know
Search Console and no SQL. Every query runs with its fields left empty; they narrow it down.

Responsible for: descriptions with units; what is sorted by what; hiding what is bookkeeping.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gsc_trio.export.dataset import read_datasets
from gsc_trio.export.source import opened_file
from gsc_trio.store.reports import LEAST_SHARE, PERIOD_DAYS

_COLUMNS = {
    "site_url": "The property, as Search Console writes it.",
    "search_type": "web, image, video, news, discover or googleNews.",
    "dimensions": "What rows are grouped by. Sets of dimensions hold the same clicks: never add "
    "them up.",
    "data_date": "The day, in Pacific time.",
    "week": "The Monday that the week begins with.",
    "url": "The page.",
    "page": "The page.",
    "query": "What was searched for.",
    "country": "The country, by ISO 3166-1 alpha-3 in lower case.",
    "device": "DESKTOP, MOBILE or TABLET.",
    "search_appearance": "The kind of result.",
    "filters": "The filters that were asked for, one a line; empty for all of the property.",
    "aggregation_type": "How Google was asked to count; auto is its own choice.",
    "hour": "The hour, with its offset from UTC.",
    "row_number": "The row's place in Google's answer, from 0.",
    "clicks": "Clicks that led to the site. Unit: clicks.",
    "impressions": "How often a result was seen. Unit: impressions.",
    "ctr": "Clicks per impression. Unit: a ratio from 0 to 1.",
    "position": "The average place in the results, weighted by impressions. Unit: places, from 1.",
    "sum_position": "Places from 0, summed up over impressions: the average position is "
    "sum(sum_position) / sum(impressions) + 1.",
    "sum_top_position": "The same for the topmost result of the site.",
    "clicks_before": "Clicks in the four weeks before. Unit: clicks.",
    "clicks_change": "Clicks less those of the four weeks before. Unit: clicks.",
    "impressions_before": "Impressions in the four weeks before. Unit: impressions.",
    "position_before": "The average place in the four weeks before. Unit: places, from 1.",
    "days": f"How many days are stored of the period; {PERIOD_DAYS} are four weeks. Unit: days.",
    "days_before": "How many are stored of the four weeks before. Unit: days.",
    "first_date": "The first day with such rows.",
    "last_date": "The last day with such rows.",
    "share": "The page's part of the query's impressions. Unit: a ratio from 0 to 1.",
    "query_clicks": "Clicks on all pages for the query. Unit: clicks.",
    "pages": "How many pages compete for the query.",
    "start_row": "How many rows of the day come before the page of the API's answer.",
    "row_limit": "How many rows were asked for.",
    "row_count": "How many came.",
    "data_state": "final, or all if the day may not have been final.",
    "committed_at": "When it was stored, in UTC.",
    "number": "Which run of this database it was.",
    "status": "complete, halted, failed or interrupted.",
    "started_at": "When it began, in UTC.",
    "duration_seconds": "How long it took. Unit: seconds.",
    "record": "What it did, as JSON: gsc-trio report shows it.",
    "inspection_url": "The address that was asked about.",
    "inspected_at": "When, in UTC.",
    "verdict": "PASS, PARTIAL, FAIL or NEUTRAL: whether it is in the index.",
    "coverage_state": "Why, in Google's words.",
    "robots_txt_state": "Whether robots.txt lets Google fetch it.",
    "indexing_state": "Whether the page lets itself be indexed.",
    "page_fetch_state": "Whether Google could fetch it.",
    "last_crawl_time": "When Google fetched it last.",
    "google_canonical": "The address that Google takes for the page's own.",
    "user_canonical": "The address that the page says is its own.",
    "crawled_as": "As which device Google fetched it.",
    "sitemaps": "Sitemaps that name it, as JSON.",
    "referring_urls": "Pages that link to it, as JSON.",
    "result": "All of Google's answer, as JSON.",
}

_VIEWS = {
    "performance_by_page": (
        "Every page over all that is stored: clicks, impressions, CTR and position.",
        "clicks",
    ),
    "performance_by_query": (
        "Every query over all that is stored: clicks, impressions, CTR and position.",
        "clicks",
    ),
    "performance_by_week": ("Every week from Monday to Sunday.", "week"),
    "page_movers": (
        "Pages in the newest four weeks against the four before. Compare only where both periods "
        f"have {PERIOD_DAYS} days.",
        "clicks_change",
    ),
    "query_movers": (
        "Queries in the newest four weeks against the four before. Compare only where both periods "
        f"have {PERIOD_DAYS} days.",
        "clicks_change",
    ),
    "cannibalisation": (
        "Queries for which several pages compete, in the newest four weeks: each page here has at "
        f"least {LEAST_SHARE:.0%} of its query's impressions.",
        "query_clicks",
    ),
    "searchdata_url_impression": (
        "All rows that have a page, with the names of BigQuery's bulk export.",
        "data_date",
    ),
    "searchdata_site_impression": (
        "All rows that have no page, with the names of BigQuery's bulk export.",
        "data_date",
    ),
    "filtered_impression": (
        "All rows that were asked for with filters, or with another type of aggregation.",
        "data_date",
    ),
    "hourly_impression": ("All rows that came by the hour.", "hour"),
}
"""What each is, and the column that it is sorted by, largest first."""

_TABLES = {
    "dataset": "What is kept: a property, a search type and a set of dimensions each.",
    "page_ledger": "Which pages of Google's answers are stored. A day is complete when its last "
    "page has fewer rows than were asked for.",
    "run": "The last backfills, and how they ended.",
    "url_inspection": "What Google's index said of an address, each time it was asked.",
}

_HIDDEN = ("in_flight", "quota_grant")

_SUMS = """SUM(clicks) AS clicks, SUM(impressions) AS impressions,
  ROUND(1.0 * SUM(clicks) / SUM(impressions), 4) AS ctr,
  ROUND(SUM(sum_position) / SUM(IIF(sum_position IS NULL, NULL, impressions)) + 1, 1) AS position"""

_CHOSEN_SITE = "(:site_url = '' OR site_url = :site_url)"

# From both views, since rows by query may have a page or not.
_ALL_ROWS = """(
  SELECT data_date, site_url, search_type, dimensions, url, query, clicks, impressions, sum_position
  FROM searchdata_url_impression
  UNION ALL
  SELECT data_date, site_url, search_type, dimensions, NULL, query, clicks, impressions,
    sum_top_position
  FROM searchdata_site_impression
)"""


def _top(column: str) -> str:
    return f"""SELECT site_url, search_type, dimensions, {column}, {_SUMS}
FROM {_ALL_ROWS}
WHERE {column} IS NOT NULL AND {_CHOSEN_SITE} AND data_date > date(
  (SELECT MAX(data_date) FROM page_ledger), '-' || COALESCE(NULLIF(:days, ''), 28) || ' days')
GROUP BY site_url, search_type, dimensions, {column}
ORDER BY clicks DESC, impressions DESC LIMIT 100"""


def _movers(view: str, column: str, direction: str) -> str:
    return f"""SELECT site_url, search_type, dimensions, {column}, clicks_change, clicks,
  clicks_before, ROUND(position, 1) AS position, ROUND(position_before, 1) AS position_before,
  days, days_before
FROM {view} WHERE {_CHOSEN_SITE}
ORDER BY clicks_change {direction} LIMIT 100"""


QUERIES: Mapping[str, tuple[str, str]] = {
    "stored": (
        "What is stored",
        """SELECT site_url, search_type, dimensions, COUNT(DISTINCT data_date) AS days,
  MIN(data_date) AS first_date, MAX(data_date) AS last_date, SUM(row_count) AS rows
FROM page_ledger JOIN dataset ON dataset.id = dataset_id
GROUP BY dataset_id ORDER BY site_url, search_type, dimensions""",
    ),
    "clicks_by_week": (
        "Clicks by week",
        f"""SELECT week, site_url, search_type, dimensions, clicks, impressions,
  ROUND(ctr, 4) AS ctr, ROUND(position, 1) AS position, days
FROM performance_by_week WHERE {_CHOSEN_SITE} ORDER BY week DESC LIMIT 200""",
    ),
    "top_pages": ("Top pages of the last four weeks, or of as many days as you give", _top("url")),
    "top_queries": (
        "Top queries of the last four weeks, or of as many days as you give",
        _top("query"),
    ),
    "losing_pages": (
        "Pages that lost the most clicks",
        _movers("page_movers", "url", "ASC"),
    ),
    "winning_pages": (
        "Pages that won the most clicks",
        _movers("page_movers", "url", "DESC"),
    ),
    "losing_queries": (
        "Queries that lost the most clicks",
        _movers("query_movers", "query", "ASC"),
    ),
    "winning_queries": (
        "Queries that won the most clicks",
        _movers("query_movers", "query", "DESC"),
    ),
    "competing_pages": (
        "Queries for which several pages compete",
        f"""SELECT site_url, search_type, query, pages, url, clicks, impressions,
  ROUND(share, 2) AS share, ROUND(position, 1) AS position
FROM cannibalisation WHERE {_CHOSEN_SITE}
ORDER BY query_clicks DESC, query, share DESC LIMIT 200""",
    ),
    "almost_on_page_one": (
        "Queries just below the first places: many impressions, position 4 to 20",
        f"""SELECT site_url, search_type, dimensions, query, impressions, clicks,
  ROUND(ctr, 4) AS ctr, ROUND(position, 1) AS position
FROM performance_by_query WHERE {_CHOSEN_SITE} AND position BETWEEN 4 AND 20
ORDER BY impressions DESC LIMIT 100""",
    ),
}
"""Title and SQL of each canned query."""

_ABOUT = """Search Console data, copied by gsc-trio. Begin with a query below, or with the views:
what they show can be sorted, filtered, and taken away as CSV or JSON. A site that is kept with
several sets of dimensions has the same clicks in each of them: filter by <i>dimensions</i> before
adding up."""


def datasette_metadata(database: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``datasette --metadata`` takes, for one database.

    Args:
        database: the SQLite database; only the names of its tables matter.

    Raises:
        UsageError: there is no such database.
    """
    with opened_file(Path(database)) as connection:
        rows_tables = {
            dataset.table: ", ".join(dataset.dimensions) or "day alone"
            for dataset in read_datasets(connection)
        }
        columns = {
            name: [column for column, *_ in connection.execute(f"SELECT * FROM {name}").description]
            for name in (*_VIEWS, *_TABLES, *rows_tables)
        }
    tables: dict[str, Any] = {name: {"hidden": True} for name in _HIDDEN}
    for name, text in _TABLES.items():
        tables[name] = {"description": text, "columns": _meanings(columns[name])}
    for name, dimensions in rows_tables.items():
        text = f"Rows by {dimensions}, as Google gave them."
        tables[name] = {"description": text, "columns": _meanings(columns[name])}
    tables["dataset"]["label_column"] = "site_url"
    for name, (text, sorted_by) in _VIEWS.items():
        tables[name] = {
            "description": text,
            "columns": _meanings(columns[name]),
            "sort_desc": sorted_by,
            "sortable_columns": columns[name],  # Datasette sorts views by no other column
        }
    return {
        "title": "Search Console",
        "databases": {
            Path(database).stem: {
                "description_html": _ABOUT,
                "source": "Google Search Console, Search Analytics API",
                "source_url": "https://search.google.com/search-console",
                "tables": tables,
                "queries": {
                    name: {"title": title, "sql": sql, "hide_sql": True}
                    for name, (title, sql) in QUERIES.items()
                },
            }
        },
    }


def _meanings(columns: list[str]) -> dict[str, str]:
    return {column: _COLUMNS[column] for column in columns if column in _COLUMNS}
