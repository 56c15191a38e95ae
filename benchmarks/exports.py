"""What it costs to get rows out: the ready-made views, each export, and the two stores.

A million rows by page and query, in 100 days, are written to SQLite and to a folder of Parquet
files, in turn and with nothing else to do. Then each ready-made view is read as Datasette reads
it (sorted, the first hundred rows), and each export is made, and brought up to date when nothing
has changed. Views are measured three times, the median counts; the rest once.

Every export must hold the clicks that the database holds. A view must take less than 3 seconds of
CPU for a million rows. Exits with 1 if that is not so.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import attrs
import click
import duckdb
import trio

from gsc_trio.cli.stores import STORES
from gsc_trio.export import (
    Existing,
    export_csv,
    export_duckdb,
    export_parquet,
    read_arrow,
)
from gsc_trio.export.extras import load
from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
from gsc_trio.store.reports import VIEWS

QUERY = SearchAnalyticsQuery("sc-domain:benchmark.example")
LAST_DAY = dt.date(2026, 6, 30)
DAYS = 100
PAGES, QUERIES = 20_000, 40_000
MUST_SECONDS_PER_MILLION = 3.0
REPEATS = 3


@attrs.frozen
class Measured:
    """What one thing took."""

    name: str
    seconds: float
    """On the wall."""
    cpu_seconds: float
    """Of this process, all threads."""


def days_of(rows: int) -> Iterator[Page]:
    """Whole days, the newest first; few pages have most of the rows, as on real sites."""
    chance = random.Random(0)  # made-up rows
    per_day = max(1, rows // DAYS)
    for number in range(DAYS):
        keys: dict[tuple[str, str], None] = {}
        while len(keys) < per_day:
            page = int(chance.paretovariate(0.4)) % PAGES
            url = f"https://www.benchmark.example/section-{page % 37}/an-article-about-{page}/"
            keys[url, f"how to do thing number {chance.randrange(QUERIES)}"] = None
        content = [
            Row(
                key,
                float(chance.randrange(5)),
                float(chance.randrange(5, 50)),
                1 + 19 * n / per_day,
            )
            for n, key in enumerate(keys)
        ]
        yield Page(Job(LAST_DAY - dt.timedelta(days=number)), content, per_day + 1, 1)


def measured(name: str, work: Callable[[], object]) -> Measured:
    """Do something once."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Measured(name, time.perf_counter() - wall, time.process_time() - cpu)


def measure_stores(folder: Path, rows: int) -> list[Measured]:
    """The same pages into each store, one page a transaction; what makes them is not counted."""
    pages = list(days_of(rows))

    async def write(kind: str, path: Path) -> None:
        async with STORES[kind](path) as store:
            for page in pages:
                await store.write_pages(QUERY, [page], InFlightChanges())

    load("pyarrow.parquet", "this benchmark")  # importing it is not what is measured
    return [
        measured(f"into {kind}", partial(trio.run, write, kind, folder / name))
        for kind, name in (("sqlite", "gsc.db"), ("parquet", "store"))
    ]


def measure_views(database: Path) -> list[Measured]:
    """Each as a page of Datasette: sorted by clicks, the first hundred rows."""
    found = []
    with closing(sqlite3.connect(database)) as connection:
        for view in VIEWS:
            select = f"SELECT * FROM {view.name} ORDER BY clicks DESC LIMIT 100"
            times = [
                measured(view.name, partial(_read, connection, select)) for _ in range(REPEATS)
            ]
            found.append(sorted(times, key=lambda each: each.cpu_seconds)[REPEATS // 2])
    return found


def _read(connection: sqlite3.Connection, select: str) -> None:
    connection.execute(select).fetchall()


def measure_exports(database: Path, folder: Path) -> list[Measured]:
    """Each export, and an update of it when nothing has changed."""
    parquet, duckdb_file = folder / "parquet", folder / "gsc.duckdb"
    update = Existing.UPDATE
    return [
        measured("to Parquet", lambda: export_parquet(database, parquet)),
        measured("  unchanged", lambda: export_parquet(database, parquet, existing=update)),
        measured("to DuckDB", lambda: export_duckdb(database, duckdb_file)),
        measured("  unchanged", lambda: export_duckdb(database, duckdb_file, existing=update)),
        measured("to CSV", lambda: export_csv(database, folder / "gsc.csv")),
        measured("to Arrow", lambda: read_arrow(database, QUERY)),
    ]


def clicks_in(folder: Path) -> set[int]:
    """What the clicks of everything that was written add up to: one number, if all is well."""
    with closing(sqlite3.connect(folder / "gsc.db")) as connection:
        clicks = connection.execute("SELECT sum(clicks) FROM performance_by_page").fetchone()
    select = "SELECT sum(clicks) FROM"
    with duckdb.connect(str(folder / "gsc.duckdb"), read_only=True) as file:
        in_file = file.execute(f"{select} searchdata_url_impression").fetchall()
    sources = [
        *(f"read_parquet('{folder / name}/search*/**/*.parquet')" for name in ("parquet", "store")),
        f"read_csv('{folder / 'gsc.csv'}')",
    ]
    found = [duckdb.execute(f"{select} {each}").fetchall() for each in sources]
    return {int(rows[0][0]) for rows in ([clicks], in_file, *found)}


@click.command("python -m benchmarks.exports", help=f"\b\n{__doc__}")
@click.option("--rows", type=click.IntRange(DAYS, 100_000_000), default=1_000_000,
    show_default=True, help="Rows in the database.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to a file, too.")  # fmt: skip
def main(rows: int, json_path: Path | None) -> None:
    """Measure, compare, and judge."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stores = measure_stores(folder, rows)
        views = measure_views(folder / "gsc.db")
        exports = measure_exports(folder / "gsc.db", folder)
        clicks = clicks_in(folder)
    click.echo(f"{rows:,} rows in {DAYS} days: seconds on the wall, and of CPU")
    for each in (*stores, *exports, *views):
        click.echo(f"  {each.name:24} {each.seconds:7.2f} {each.cpu_seconds:7.2f}")
    sqlite, parquet = (each.cpu_seconds for each in stores)
    click.echo(f"  Parquet files take {parquet / sqlite:.1f} × the CPU of SQLite")
    faults = judge(views, clicks, rows)
    if json_path is not None:
        results = {"rows": rows, "faults": faults}
        for part, measurements in (("stores", stores), ("exports", exports), ("views", views)):
            results[part] = [attrs.asdict(each) for each in measurements]
        json_path.write_text(json.dumps(results, indent=2) + "\n")
    for fault in faults:
        click.echo(fault, err=True)
    raise SystemExit(1 if faults else 0)


def judge(views: list[Measured], clicks: set[int], rows: int) -> list[str]:
    """What is not as it must be."""
    must = MUST_SECONDS_PER_MILLION * max(rows, 1_000_000) / 1_000_000
    faults = [
        f"{view.name} takes {view.cpu_seconds:.1f} s" for view in views if view.cpu_seconds > must
    ]
    if len(clicks) > 1:
        faults.append(f"exports do not hold what the database holds: {sorted(clicks)} clicks")
    return faults


if __name__ == "__main__":
    main()
