"""Full pages from the socket into Postgres, and as a share of what Postgres takes in by itself.

A real server with ``fsync`` on (a fresh one from Debian's programs, on a Unix socket) takes the
same rows in each round, in a database of its own each time:

ingest   what `benchmarks.ingest` does, into Postgres: a server in a process of its own answers at
         once, the client takes its pages through gunzip, decoding and the hand-over; one
         transaction a page or a few, with ledger, registry and quota journal
copy     one plain ``COPY`` of all rows, as ``COPY … TO`` wrote them before, into an equal table
         (columns, key, month partitions), in one transaction: all that this server can take in
         from one session; in Postgres' own format for it, text, by which ingest is judged, and
         in the binary one, which the store uses

Time is taken until the last commit. All tables must be equal. All of that shares the cores: the
ingest has three processes at work, a copy little more than one.

Exits with 1 if a figure is not what it must be.
"""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs
import click
import psycopg
import trio

from benchmarks.client import ClientTask
from benchmarks.latency_model import LatencyModel
from benchmarks.machine import describe_machine, seconds_of_waiting_for_a_core
from benchmarks.matrix import DEFAULT_BATCH_SIZE, DEFAULT_WORKERS
from benchmarks.measurement import WrongAnswerError, run_client
from benchmarks.overhead import finish, print_table, write_json
from benchmarks.session import UNLIMITED, fake_options
from benchmarks.workload import Property, Workload, make_workload
from gsc_trio.cli.fake_process import open_fake_process
from gsc_trio.store.postgres.schema import Partition, create_dataset
from gsc_trio.store.schema import table_of
from tests.postgres_server import PostgresServer, running_server

MUST_ROWS_PER_SECOND = 100_000
MUST_RATIO = 0.6

FULL_PAGE_ROWS = 25_000
SETTINGS = ("fsync=on", "shared_buffers=256MB", "max_wal_size=4GB", "autovacuum=on")
CHUNK_BYTES = 1 << 20


FORMATS = ("text", "binary")
"""Of COPY."""


@attrs.frozen
class Round:
    """What one round took, in seconds."""

    ingest: float
    text_copy: float
    binary_copy: float
    waiting_share: float
    """In what share of the ingest something on the machine waited for a core."""


@attrs.frozen
class PostgresResult:
    """The medians, in rows a second."""

    rows: int
    ingest: float
    text_copy: float
    binary_copy: float
    waiting_share: float

    @classmethod
    def of(cls, rows: int, rounds: list[Round]) -> PostgresResult:
        """Sum up rounds."""
        return cls(
            rows=rows,
            ingest=rows / statistics.median(each.ingest for each in rounds),
            text_copy=rows / statistics.median(each.text_copy for each in rounds),
            binary_copy=rows / statistics.median(each.binary_copy for each in rounds),
            waiting_share=statistics.median(each.waiting_share for each in rounds),
        )

    @property
    def ratio(self) -> float:
        """Ingest by plain COPY."""
        return self.ingest / self.text_copy

    @property
    def binary_ratio(self) -> float:
        """Ingest by COPY in the store's own format."""
        return self.ingest / self.binary_copy


def faults_of(result: PostgresResult) -> list[str]:
    """What is not as it must be."""
    faults = []
    if result.ingest < MUST_ROWS_PER_SECOND:
        faults.append(f"{result.ingest:,.0f} rows/s < {MUST_ROWS_PER_SECOND:,}")
    if result.ratio < MUST_RATIO:
        faults.append(f"{result.ratio:.2f} of plain COPY < {MUST_RATIO}")
    return faults


async def measure_postgres(
    workload: Workload,
    server: PostgresServer,
    folder: Path,
    *,
    workers: int,
    batch_size: int,
    rounds: int,
) -> PostgresResult:
    """Measure, after one round that warms all caches."""
    files = {name: folder / f"rows.{name}" for name in FORMATS}
    found = []
    async with open_fake_process(fake_options(workload, LatencyModel(scale=0))) as api_root:
        for number in range(rounds + 1):
            filled = server.new_database()
            waited, began = seconds_of_waiting_for_a_core(), time.perf_counter()
            ingest_seconds = await _ingest(workload, api_root, filled, workers, batch_size)
            share = (seconds_of_waiting_for_a_core() - waited) / (time.perf_counter() - began)
            if not number:
                _write_rows(workload, filled, files)
            expected = _sum_of(workload, filled)
            server.drop_database(filled)
            copies = []
            for name, file in files.items():
                copied = server.new_database()
                copies.append(await trio.to_thread.run_sync(_copy, workload, copied, name, file))
                if _sum_of(workload, copied) != expected or expected[0] != workload.rows:
                    raise WrongAnswerError(f"{name}: other rows than were fetched: {expected}")
                server.drop_database(copied)
            if number:
                found.append(Round(ingest_seconds, copies[0], copies[1], share))
    return PostgresResult.of(workload.rows, found)


async def _ingest(
    workload: Workload, api_root: str, address: str, workers: int, batch_size: int
) -> float:
    query = workload.query
    task = ClientTask(
        api_root=api_root,
        database=address,
        site_url=query.site_url,
        search_type=query.search_type,
        dimensions=query.dimensions,
        data_state=query.data_state,
        row_limit=query.row_limit,
        start=workload.start,
        end=workload.end,
        max_concurrency=workers,
        batch_size=batch_size,
        queries_per_minute=UNLIMITED,
    )
    result, _ = await run_client(task)
    if result.status != "complete":
        raise WrongAnswerError(f"the run did not complete: {result.reason}")
    return result.seconds


def _write_rows(workload: Workload, address: str, files: Mapping[str, Path]) -> None:
    """Have the server write the rows that it has, in the order of their key, in each format."""
    for name, path in files.items():
        copy = f"COPY (TABLE {_table(workload)} ORDER BY 1, 2, 3) TO STDOUT (FORMAT {name})"
        with (
            psycopg.connect(address) as connection,
            connection.cursor().copy(copy) as coming,
            path.open("wb") as file,
        ):
            file.writelines(coming)


def _copy(workload: Workload, address: str, name: str, path: Path) -> float:
    query = workload.query
    days = (workload.start + dt.timedelta(days=each) for each in range(len(workload.days)))
    with psycopg.connect(address, autocommit=True) as connection, path.open("rb") as file:
        create_dataset(connection, query)
        for partition in {Partition.of(query.dimensions, day) for day in days}:
            partition.create(connection)
        connection.execute("CHECKPOINT")  # what others wrote is no burden on this one
        began = time.perf_counter()
        copy = f"COPY {_table(workload)} FROM STDIN (FORMAT {name})"
        with connection.cursor().copy(copy) as sending:
            while chunk := file.read(CHUNK_BYTES):
                sending.write(chunk)
        return time.perf_counter() - began


def _table(workload: Workload) -> str:
    return table_of(workload.query.dimensions)


def _sum_of(workload: Workload, address: str) -> tuple[int, object]:
    """How many rows a table has, and a sum that hardly any other rows have."""
    table = _table(workload)
    with psycopg.connect(address) as connection:
        [found] = connection.execute(
            f"SELECT count(*), sum(hashtextextended(stored::text, 0)::numeric) FROM {table} stored"
        ).fetchall()
    return int(found[0]), found[1]


@click.command("python -m benchmarks.postgres", help=f"\b\n{__doc__}")
@click.option("--days", type=click.IntRange(1, 1_000), default=20, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(2, 100),
    default=DEFAULT_WORKERS,
    show_default=True,
    metavar="N",
)
@click.option(
    "--batch-size", type=click.IntRange(1, 1_000), default=DEFAULT_BATCH_SIZE, show_default=True
)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--json",
    "result_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the figures.",
)
def main(
    *, days: int, workers: int, batch_size: int, rounds: int, result_file: Path | None
) -> None:
    """Measure, and judge."""
    machine = describe_machine()
    click.echo(", ".join(f"{name} {value}" for name, value in machine.items()))
    simulated = Property("full", 2 * FULL_PAGE_ROWS, distinct_days=5)
    with (
        tempfile.TemporaryDirectory(prefix="gsc-trio-postgres-") as name,
        running_server(SETTINGS) as server,
    ):
        workload = make_workload(simulated, Path(name), days)
        click.echo(f"{workload}\n{workload.label}\nPostgres: {', '.join(SETTINGS)}\n")
        result = trio.run(
            partial(
                measure_postgres,
                workload,
                server,
                Path(name),
                workers=workers,
                batch_size=batch_size,
                rounds=rounds,
            )
        )
    print_table(
        ["what", "rows/s", "ingest by it"],
        [
            ("ingest", round(result.ingest), "1.00"),
            ("plain COPY", round(result.text_copy), f"{result.ratio:.2f}"),
            ("binary COPY", round(result.binary_copy), f"{result.binary_ratio:.2f}"),
        ],
    )
    click.echo(
        f"  must: {MUST_ROWS_PER_SECOND:,} rows/s, {MUST_RATIO} of plain COPY; something waited "
        f"for a core in {result.waiting_share:.0%} of the time"
    )
    if result_file is not None:
        figures = {"workload": f"{workload} ({workload.label})", "result": attrs.asdict(result)}
        write_json(result_file, figures)
    finish(faults_of(result))


if __name__ == "__main__":
    main()
