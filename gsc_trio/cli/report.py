"""``gsc-trio report``: a page about a run that is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from gsc_trio.cli.failures import COMPLETE
from gsc_trio.cli.options import database_option, json_option
from gsc_trio.cli.output import one_line, say, say_json
from gsc_trio.cli.run_report import check_can_render, render_to
from gsc_trio.cli.snapshot import duration_text
from gsc_trio.cli.stores import database_at, file_of, open_database
from gsc_trio.cli.tables import Side, aligned_table
from gsc_trio.errors import UsageError
from gsc_trio.report.file import check_page_file
from gsc_trio.report.record import from_json
from gsc_trio.store.base import RecordedRun
from gsc_trio.store.runs import RUNS_KEPT

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

HELP = f"""Write an HTML page about a run: how it went, how fast, and what was skipped and why.

A backfill leaves a record in its database when it ends, well or badly; so do a sync, for each
property and kind of data, and the stages of a rollout. The last {RUNS_KEPT} are kept. A run that
was killed leaves none: what it had fetched is there, and `gsc-trio status` tells what was in
flight. The page needs no network and no scripts, and is made by packages that pip install
'gsc-trio[report]' brings. The database is only read.

\b
Examples:
  gsc-trio report --db gsc.db                           # the latest run
  gsc-trio report --db gsc.db --list
  gsc-trio report --db gsc.db --run 3 --output run.html
"""

_COLUMNS: dict[str, Side] = {
    "run": "right",
    "started (UTC)": "left",
    "duration": "right",
    "status": "left",
    "site": "left",
    "type": "left",
    "dimensions": "left",
}


@click.command("report", help=HELP, short_help="Write an HTML page about a run.")
@database_option(
    "The database of a backfill: an SQLite file, a folder of Parquet files, or postgresql://…"
)
@click.option(
    "--run",
    "number",
    type=click.IntRange(1, 1_000_000_000),
    metavar="N",
    help="Which run, by its number; else the latest.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to write the page.  [default: gsc-trio-run-N.html]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--list", "wants_list", is_flag=True, help="List the runs instead.")
@json_option("Print JSON instead of writing a page.")
def command(
    database: Location,
    number: int | None,
    output: Path | None,
    force: bool,
    wants_list: bool,
    wants_json: bool,
) -> int:
    """Look, write."""
    if (wants_list or wants_json) and (output is not None or force):
        raise UsageError("--list and --json print: leave --output and --force out")
    if wants_list:
        if number is not None:
            raise UsageError("--list shows all runs: leave --run out")
        _show_list(database, wants_json=wants_json)
        return COMPLETE
    run = trio.run(_read_run, database, number)
    if wants_json:
        say(run.record)
        return COMPLETE
    path = output if output is not None else Path(f"gsc-trio-run-{run.number}.html")
    check_can_render()
    check_page_file(
        path, file_of(database_at(database)), replaces="anything" if force else "nothing"
    )
    render_to(path, from_json(run.record))
    say(f"{path}: run {run.number}, {run.status}, {one_line(run.site_url)}")
    return COMPLETE


def _show_list(database: Location, *, wants_json: bool) -> None:
    runs = trio.run(_read_runs, database)
    if wants_json:
        say_json([_facts(run) for run in runs])
    elif runs:
        say(aligned_table(_COLUMNS, map(_cells, runs)))
    else:
        say(f"{database} has no run recorded")


async def _read_runs(database: Location) -> Sequence[RecordedRun]:
    async with open_database(database_at(database), read_only=True) as store:
        return await store.runs()


async def _read_run(database: Location, number: int | None) -> RecordedRun:
    """The run that is asked for.

    Raises:
        UsageError: it is not there.
    """
    async with open_database(database_at(database), read_only=True) as store:
        run = await store.run(number)
        runs = await store.runs() if run is None else ()
    if run is not None:
        return run
    if not runs:
        raise UsageError(f"{database} has no run recorded: a backfill leaves one when it ends")
    raise UsageError(
        f"{database} has no run {number:,}: it has {runs[-1].number:,} to {runs[0].number:,}, "
        "which --list shows"
    )


def _facts(run: RecordedRun) -> dict[str, object]:
    return {
        "run": run.number,
        "started_at": run.started_at.isoformat(),
        "duration_seconds": run.duration_seconds,
        "status": run.status,
        "site": run.site_url,
        "search_type": run.search_type,
        "dimensions": run.dimensions,
    }


def _cells(run: RecordedRun) -> tuple[str, ...]:
    return (
        f"{run.number}",
        f"{run.started_at:%Y-%m-%d %H:%M:%S}",
        duration_text(run.duration_seconds),
        run.status,
        one_line(run.site_url),
        run.search_type,
        ",".join(run.dimensions) or "totals",
    )
