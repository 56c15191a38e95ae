"""``gsc-trio status``: what a database holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import click
import trio

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.kind_text import kind_text
from gsc_trio.cli.options import database_option, json_option
from gsc_trio.cli.output import say, say_json
from gsc_trio.cli.stores import database_at, open_database
from gsc_trio.cli.tables import Side, aligned_table
from gsc_trio.store.base import Coverage

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

HELP = """Say what a database holds, for each property, search type and set of dimensions.

Missing days lie between the first and the last day and are absent or not complete; a backfill of
that range fetches just them. Queries in flight were out when the database was last written to: by
a run that goes on, or by one that was killed. The time says since when the oldest of them is.

\b
Examples:
  gsc-trio status --db gsc.db
  gsc-trio status --db gsc.db --json | jq '.[] | select(.days_missing > 0)'
"""

_COLUMNS: dict[str, Side] = {
    "site": "left",
    "type": "left",
    "dimensions": "left",
    "days": "right",
    "missing": "right",
    "rows": "right",
    "first day": "left",
    "last day": "left",
    "in flight": "right",
    "since (UTC)": "left",
}


@click.command("status", help=HELP, short_help="Say what a database holds.")
@database_option(
    "The database of a backfill: an SQLite file, a folder of Parquet files, or postgresql://…"
)
@json_option("Print a JSON list of objects.")
def command(database: Location, wants_json: bool) -> int:
    """Look, print."""
    coverages = trio.run(_coverage, database)
    if wants_json:
        say_json([attrs.asdict(coverage) for coverage in coverages])
    elif coverages:
        say(coverage_table(coverages))
    else:
        say(f"{database} holds nothing yet")
    return COMPLETE


async def _coverage(database: Location) -> Sequence[Coverage]:
    async with open_database(database_at(database), read_only=True) as store:
        return await store.coverage()


def coverage_table(coverages: Sequence[Coverage]) -> str:
    """A line for each dataset."""
    return aligned_table(_COLUMNS, map(_cells, coverages))


def _cells(coverage: Coverage) -> tuple[str, ...]:
    return (
        coverage.site_url,
        coverage.search_type,
        (",".join(coverage.dimensions) or "totals")
        + kind_text(coverage.filters, coverage.aggregation_type),
        f"{coverage.days_complete:,}",
        f"{coverage.days_missing:,}",
        f"{coverage.rows:,}",
        str(coverage.first_day or "-"),
        str(coverage.last_day or "-"),
        f"{coverage.in_flight:,}",
        f"{coverage.in_flight_since:%Y-%m-%d %H:%M:%S}" if coverage.in_flight_since else "-",
    )
