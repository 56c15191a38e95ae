"""``gsc-trio export``: out of the database, into Parquet, CSV or DuckDB."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import database_option, json_option, read_date
from gsc_trio.cli.output import say, say_json
from gsc_trio.errors import UsageError
from gsc_trio.export import (
    Existing,
    ExportSummary,
    Selection,
    export_csv,
    export_duckdb,
    export_parquet,
)
from gsc_trio.model import DIMENSIONS, SEARCH_TYPES

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

_EXPORTERS: dict[str, Callable[..., ExportSummary]] = {
    "parquet": export_parquet,
    "csv": export_csv,
    "duckdb": export_duckdb,
}

_ENDINGS = {".csv": "csv", ".duckdb": "duckdb", ".ddb": "duckdb"}
_OTHER_ENDINGS = {
    *(".parquet", ".arrow", ".feather", ".json", ".jsonl", ".tsv", ".txt", ".gz", ".zip"),
    *(".xls", ".xlsx", ".ods", ".db", ".sqlite", ".sqlite3"),
}
"""Nobody wants a folder of that name."""

HELP = """Copy what a database holds to Parquet, CSV or DuckDB.

TARGET is a folder for Parquet files, one for each day and search type, in folders that DuckDB,
Polars and Spark understand; or a file that ends in .csv or .duckdb. Only days that are complete go
out. A file appears under its name when it is whole, so others may read meanwhile, and a backfill
may go on.

A target that is there is left alone, unless --update writes the days that changed since (for cron:
it also makes the target the first time), or --overwrite writes all of it anew. Nothing is deleted.

\b
Examples:
  gsc-trio export parquet/ --db gsc.db
  gsc-trio export parquet/ --db gsc.db --update           # every night, after a backfill
  gsc-trio export gsc.duckdb --db gsc.db --start 2026-01-01
  gsc-trio export queries.csv --db gsc.db --dimensions query --search-type web

\b
Parquet and DuckDB need two more libraries:
  pip install 'gsc-trio[export]'
"""


@click.command("export", help=HELP, short_help="Copy a database to Parquet, CSV or DuckDB.")
@click.argument("target", type=click.Path(path_type=Path))
@database_option(
    "The database of a backfill: a SQLite file, or an address of Postgres. It may be in use."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(_EXPORTERS)),
    help="What to write, where the target's name does not tell.",
)
@click.option("--site", metavar="SITE", help="Only this property.")
@click.option(
    "--search-type", metavar="TYPE", help=f"Only this search type: {', '.join(SEARCH_TYPES)}."
)
@click.option(
    "--dimensions",
    metavar="NAMES",
    help="Only rows by these dimensions, with commas; or date, for the totals.",
)
@click.option(
    "--filtered/--unfiltered",
    "is_filtered",
    default=None,
    help="Only what was asked for with filters or an aggregation type, or only the rest.",
)
@click.option("--start", callback=read_date, metavar="DATE", help="The first day, as YYYY-MM-DD.")
@click.option("--end", callback=read_date, metavar="DATE", help="The last day, included.")
@click.option(
    "--update",
    is_flag=True,
    help="Write the days that changed since the last export; not for CSV.",
)
@click.option("--overwrite", is_flag=True, help="Write all of it anew.")
@json_option("Print the summary as one JSON object.")
def command(
    *,
    target: Path,
    database: Location,
    format_: str | None,
    site: str | None,
    search_type: str | None,
    dimensions: str | None,
    is_filtered: bool | None,
    start: dt.date | None,
    end: dt.date | None,
    update: bool,
    overwrite: bool,
    wants_json: bool,
) -> int:
    """Check everything, export, report."""
    if update and overwrite:
        raise UsageError("--update and --overwrite exclude each other: give one of them")
    existing = Existing.UPDATE if update else Existing.OVERWRITE if overwrite else Existing.REFUSE
    if start is not None and end is not None and start > end:
        raise UsageError(f"--start {start} is after --end {end}")
    if search_type is not None and search_type not in SEARCH_TYPES:
        raise UsageError(
            f"unknown search type {search_type!r}: use one of {', '.join(SEARCH_TYPES)}"
        )
    selection = Selection(
        site,
        search_type,
        None if dimensions is None else _read_dimensions(dimensions),
        is_filtered,
        start or dt.date.min,
        end or dt.date.max,
    )
    exporter = _EXPORTERS[format_ or _format_of(target)]
    with _shown_progress() as on_day:
        summary = exporter(database, target, selection, existing=existing, on_day=on_day)
    if wants_json:
        say_json(attrs.asdict(summary))
    else:
        say(_summary_text(summary, target))
    return COMPLETE


def _format_of(target: Path) -> str:
    ending = target.suffix.lower()
    if ending in _OTHER_ENDINGS and not target.is_dir():
        raise UsageError(
            f"{target} looks like a file of another kind: name a folder, or a file that ends in "
            ".csv or .duckdb; or give a --format"
        )
    return _ENDINGS.get(ending, "parquet")


def _read_dimensions(text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",")) - {"date"}
    for name in sorted(names.difference(DIMENSIONS)):
        raise UsageError(f"unknown dimension {name!r}: use any of {', '.join(DIMENSIONS)}, or date")
    return names


def _summary_text(summary: ExportSummary, target: Path) -> str:
    if summary.days_written:
        lines = [f"wrote {summary.days_written:,} days, {summary.rows_written:,} rows to {target}"]
        if summary.days_unchanged:
            lines.append(f"  {summary.days_unchanged:,} days were there already, and unchanged")
    else:
        lines = [f"nothing to write: {target} has all {summary.days_unchanged:,} days already"]
    if summary.days_incomplete:
        lines.append(
            f"  {summary.days_incomplete:,} days were left out: not all of their pages are in the "
            "database yet"
        )
    return "\n".join(lines)


@contextmanager
def _shown_progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, if that is a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    is_hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as bar:
        task = bar.add_task("days", total=None)
        yield lambda done, days: bar.update(task, completed=done, total=days)
