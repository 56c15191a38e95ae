"""A run's summary for people: what came in, how fast, where it is, and what to do next."""

from __future__ import annotations

from pathlib import Path

from gsc_trio.cli.kind_text import kind_text
from gsc_trio.cli.run import BackfillRequest
from gsc_trio.cli.sql_examples import example_commands, parquet_commands
from gsc_trio.cli.stores import is_there
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.summary import RunSummary


def summary_text(summary: RunSummary, request: BackfillRequest) -> str:
    """Some lines for a terminal."""
    is_complete = summary.status == "complete"
    lines = [
        f"{summary.status}: {summary.site}, {summary.start} to {summary.end}, "
        f"{query_text(request.query)}"
    ]
    if summary.reason:
        lines.append(f"  {summary.reason}")
    if is_complete and not summary.requests:
        lines.append("  nothing to fetch: all days were in the database already")
    else:
        lines += _counts(summary)
    lines.append(f"  database: {request.database}")
    if not is_complete and summary.pages and is_there(request.database):
        lines.append("  what was fetched is kept: the same command goes on from here")
    return "\n".join(lines)


def next_text(request: BackfillRequest) -> str:
    """What to try now."""
    query, database, end = request.query, request.database, request.end
    if request.store == "parquet" and isinstance(database, Path):
        commands = parquet_commands(query, database, end)
    else:
        commands = example_commands(query, database, end)
    return "\n".join(["", "Try next:", *(f"  {command}" for command in commands)])


def query_text(query: SearchAnalyticsQuery) -> str:
    """What was asked for, as people say it."""
    dimensions = ", ".join(query.dimensions) or "totals"
    return f"{query.search_type} by {dimensions}{kind_text(query.filters, query.aggregation_type)}"


def _counts(summary: RunSummary) -> list[str]:
    seconds = summary.duration_seconds
    speed = f", {summary.rows / seconds:,.0f} rows/s" if summary.rows and seconds else ""
    retried = f", {summary.retries:,} retried" if summary.retries else ""
    counts = [
        f"  {summary.days:,} days, {summary.pages:,} pages, {summary.rows:,} rows "
        f"in {seconds:,.1f} s{speed}",
        f"  {summary.requests:,} queries in {summary.http_batches:,} batches{retried}; "
        f"at most {summary.peak_queries_per_minute:,} in any 60 s",
    ]
    again = summary.days_fetched_again
    if again:
        days, their = ("1 day was", "its") if again == 1 else (f"{again:,} days were", "their")
        counts.append(f"  {days} fetched again, since rows moved between {their} pages")
    return counts
