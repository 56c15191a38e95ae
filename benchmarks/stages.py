"""What each stage of a full page costs, one after another, on the same pages, in CPU time.

Each stage is the library's own code, or what httpx calls: gunzip (zlib), splitting a batch's answer
into parts, decoding a part into rows, the hand-over through the coordinator, and the insert with
its commit. What the stages do not explain of a whole run is the network: sockets, HTTP and the
event loop, and what the threads of one process cost each other.
"""

from __future__ import annotations

import datetime as dt
import time
import zlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import attrs
import trio

from gsc_trio import Page, SearchAnalyticsQuery, Settings, open_sqlite_store
from gsc_trio.batch import Batch
from gsc_trio.coordinator import open_coordinator
from gsc_trio.model import Halt, InFlightChanges, Job
from gsc_trio.testing import RecordedAnswer
from gsc_trio.wire.multipart import MultipartDecoder
from gsc_trio.wire.query import decode_page

CHUNK_BYTES = 65_536
"""What httpx reads from a socket at once."""

_BOUNDARY = b"batch_stages"
_DAY = dt.date(2026, 6, 30)
_NO_CHANGES = InFlightChanges()


@attrs.frozen
class StageCosts:
    """Milliseconds of CPU for a full page, by stage, in the order in which they happen."""

    network: float
    gunzip: float
    split: float
    decode: float
    hand_over: float
    insert: float

    @property
    def total(self) -> float:
        """All of them."""
        return float(sum(attrs.asdict(self).values()))


def measure_stages(
    answers: list[RecordedAnswer],
    query: SearchAnalyticsQuery,
    folder: Path,
    milliseconds_per_page: float,
) -> StageCosts:
    """Take full pages through each stage.

    Args:
        answers: full pages.
        query: whose they are.
        folder: where a database is made and left.
        milliseconds_per_page: the CPU time of a whole run for each page.
    """
    jobs = [Job(_DAY - dt.timedelta(days=number)) for number in range(len(answers))]
    bodies = [answer.body.content() for answer in answers]
    stream = _multipart(bodies)
    compressor = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    compressed = compressor.compress(stream) + compressor.flush()
    pages: list[Page] = []

    def gunzip() -> None:
        decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
        for start in range(0, len(compressed), CHUNK_BYTES):
            decompressor.decompress(compressed[start : start + CHUNK_BYTES])

    def split() -> None:
        decoder = MultipartDecoder(f"multipart/mixed; boundary={_BOUNDARY.decode()}")
        for start in range(0, len(stream), CHUNK_BYTES):
            decoder.feed(stream[start : start + CHUNK_BYTES])
        decoder.close()

    def decode() -> None:
        pages[:] = [decode_page(query, job, body) for job, body in zip(jobs, bodies, strict=True)]

    costs = {
        name: _milliseconds(stage) / len(answers)
        for name, stage in (("gunzip", gunzip), ("split", split), ("decode", decode))
    }
    hand_over = trio.run(_async_milliseconds, lambda: _hand_over(pages)) / len(answers)
    insert = trio.run(_insert, query, pages, folder / "stages.db") / len(answers)
    known = sum(costs.values()) + hand_over + insert
    return StageCosts(
        network=max(0.0, milliseconds_per_page - known),
        hand_over=hand_over,
        insert=insert,
        **costs,
    )


def _multipart(bodies: list[bytes]) -> bytes:
    parts = [
        b"--%b\r\nContent-Type: application/http\r\nContent-ID: <response-%d>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b\r\n"
        % (_BOUNDARY, number, len(body), body)
        for number, body in enumerate(bodies)
    ]
    return b"".join(parts) + b"--%b--\r\n" % _BOUNDARY


def _milliseconds(stage: Callable[[], None]) -> float:
    began = time.process_time()
    stage()
    return (time.process_time() - began) * 1e3


async def _async_milliseconds(stage: Callable[[], Awaitable[None]]) -> float:
    began = time.process_time()
    await stage()
    return (time.process_time() - began) * 1e3


class _NoSink:
    takes_several = True

    async def prepare(self, page: Page) -> Page:
        """There is nothing to do."""
        return page

    async def deliver(self, pages: Sequence[Page], changes: InFlightChanges) -> Halt | None:
        """Keep nothing."""

    async def record_in_flight(self, changes: InFlightChanges) -> None:
        """Keep nothing."""


async def _hand_over(pages: list[Page]) -> None:
    by_job = {page.job: page for page in pages}
    settings = Settings(max_concurrency=1, batch_size=len(pages))
    async with open_coordinator(by_job, _NoSink(), settings=settings) as coordinator:
        while isinstance(batch := coordinator.take_batch("worker"), Batch):
            for job in batch.jobs:
                # A page that is full would have a job behind it.
                page = attrs.evolve(by_job[job], row_limit=len(by_job[job].rows) + 1)
                async with coordinator.admit(job, page.content_bytes):
                    await coordinator.submit_results(page)


async def _insert(query: SearchAnalyticsQuery, pages: list[Page], database: Path) -> float:
    async with open_sqlite_store(database) as store:

        async def write() -> None:
            for page in pages:
                await store.write_pages(query, [page], _NO_CHANGES)

        return await _async_milliseconds(write)
