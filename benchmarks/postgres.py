"""Full pages from the socket into Postgres, and as a share of what Postgres takes in by itself.

A real server with ``fsync`` on (a fresh one from Debian's programs, on a Unix socket) takes the
same rows twice in each round, in a database of its own each time:

copy    one ``COPY`` of all rows, encoded ahead of time in the same binary format, into an equal
        table (columns, key, month partitions), in one transaction: as fast as this server can be
ingest  what `benchmarks.ingest` does, into Postgres: a server in a process of its own answers at
        once, the client takes its pages through gunzip, decoding and the hand-over; one
        transaction a page or a few, with ledger, registry and quota journal

Time is taken until the last commit. Both tables must be equal. All of that shares the cores.

Exits with 1 if a figure is not what it must be.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
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
from gsc_trio.model import Job
from gsc_trio.store.days import identity_of
from gsc_trio.store.postgres.rows import END, HEADER, encoded_rows
from gsc_trio.store.postgres.schema import Partition, create_dataset
from gsc_trio.store.schema import table_of
from gsc_trio.testing import read_cassette
from gsc_trio.wire.query import decode_page
from tests.postgres_server import PostgresServer, running_server

MUST_ROWS_PER_SECOND = 100_000
MUST_RATIO = 0.6

FULL_PAGE_ROWS = 25_000
SETTINGS = ("fsync=on", "shared_buffers=256MB", "max_wal_size=4GB", "autovacuum=on")
CHUNK_BYTES = 1 << 20


@attrs.frozen
class Round:
    """What one round took, in seconds."""

    copy: float
    ingest: float
    waiting_share: float
    """In what share of the ingest something on the machine waited for a core."""


@attrs.frozen
class PostgresResult:
    """The medians."""

    rows: int
    copy_rows_per_second: float
    ingest_rows_per_second: float
    waiting_share: float

    @classmethod
    def of(cls, rows: int, rounds: list[Round]) -> PostgresResult:
        """Sum up rounds."""
        return cls(
            rows=rows,
            copy_rows_per_second=rows / statistics.median(each.copy for each in rounds),
            ingest_rows_per_second=rows / statistics.median(each.ingest for each in rounds),
            waiting_share=statistics.median(each.waiting_share for each in rounds),
        )

    @property
    def ratio(self) -> float:
        """Ingest by copy."""
        return self.ingest_rows_per_second / self.copy_rows_per_second


def faults_of(result: PostgresResult) -> list[str]:
    """What is not as it must be."""
    faults = []
    if result.ingest_rows_per_second < MUST_ROWS_PER_SECOND:
        faults.append(f"{result.ingest_rows_per_second:,.0f} rows/s < {MUST_ROWS_PER_SECOND:,}")
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
    rows_file = folder / "rows"
    with rows_file.open("wb") as file:
        file.writelines(_all_encoded(workload))
    found = []
    async with open_fake_process(fake_options(workload, LatencyModel(scale=0))) as api_root:
        for number in range(rounds + 1):
            copied, filled = server.new_database(), server.new_database()
            copy_seconds = await trio.to_thread.run_sync(_copy, workload, copied, rows_file)
            waited, began = seconds_of_waiting_for_a_core(), time.perf_counter()
            ingest_seconds = await _ingest(workload, api_root, filled, workers, batch_size)
            share = (seconds_of_waiting_for_a_core() - waited) / (time.perf_counter() - began)
            sums = [_sum_of(workload, address) for address in (copied, filled)]
            if sums[0] != sums[1] or sums[0][0] != workload.rows:
                raise WrongAnswerError(f"the tables differ: {sums[0]} and {sums[1]}")
            for address in (copied, filled):
                server.drop_database(address)
            server.execute("CHECKPOINT")
            if number:
                found.append(Round(copy_seconds, ingest_seconds, share))
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


def _copy(workload: Workload, address: str, rows_file: Path) -> float:
    query = workload.query
    with psycopg.connect(address, autocommit=True) as connection, rows_file.open("rb") as file:
        create_dataset(connection, identity_of(query), query.dimensions)
        days = {request.data_date for request in read_cassette(workload.path).answers}
        for partition in {Partition.of(query.dimensions, day) for day in days}:
            partition.create(connection)
        began = time.perf_counter()
        copy = f"COPY {table_of(query.dimensions)} FROM STDIN (FORMAT binary)"
        with connection.cursor().copy(copy) as sending:
            while chunk := file.read(CHUNK_BYTES):
                sending.write(chunk)
        return time.perf_counter() - began


def _all_encoded(workload: Workload) -> Iterator[bytes]:
    """All pages' rows, in the order of the days, as one stream of ``COPY``."""
    answers = sorted(
        read_cassette(workload.path).answers.items(),
        key=lambda item: (item[0].data_date, item[0].start_row),
    )
    yield HEADER
    for request, answer in answers:
        job = Job(request.data_date, request.start_row)
        rows = decode_page(workload.query, job, answer.body.content()).rows
        yield from encoded_rows(1, job.data_date, job.start_row, rows)
    yield END


def _sum_of(workload: Workload, address: str) -> tuple[int, object]:
    """How many rows a table has, and a sum that hardly any other rows have."""
    table = table_of(workload.query.dimensions)
    with psycopg.connect(address) as connection:
        [found] = connection.execute(
            f"SELECT count(*), sum(hashtextextended(stored::text, 0)::numeric) FROM {table} stored"  # noqa: S608
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
        ["workers", "batch", "COPY rows/s", "ingest rows/s", "ratio", "busy"],
        [
            (
                workers,
                batch_size,
                round(result.copy_rows_per_second),
                round(result.ingest_rows_per_second),
                f"{result.ratio:.2f}",
                f"{result.waiting_share:.0%}",
            )
        ],
    )
    click.echo(f"  must: {MUST_ROWS_PER_SECOND:,} rows/s, {MUST_RATIO} of plain COPY")
    if result_file is not None:
        figures = {"workload": f"{workload} ({workload.label})", "ratio": round(result.ratio, 3)}
        write_json(result_file, {**figures, "result": attrs.asdict(result)})
    finish(faults_of(result))


if __name__ == "__main__":
    main()
