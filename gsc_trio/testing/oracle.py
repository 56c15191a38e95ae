"""What a database must hold: what the sequential path without faults brings into it."""

from __future__ import annotations

from functools import cache

from gsc_trio.backfill import backfill
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.summary import RunSummary
from gsc_trio.testing.scenario import TODAY, Content
from gsc_trio.testing.search_console import FakeSearchConsole
from gsc_trio.testing.simulated_process import SimulatedProcess
from gsc_trio.testing.simulated_store import SimulatedDisk, SimulatedStore
from gsc_trio.testing.transport import open_streaming_transport
from gsc_trio.testing.virtual_time import run_in_virtual_time


@cache
def oracle(content: Content) -> str:
    """The database after the sequential path without faults."""
    disk = SimulatedDisk()

    async def run() -> RunSummary:
        server = FakeSearchConsole(
            [content.simulated_property()], last_final_day=Content.last_final_day()
        )
        store = SimulatedStore(disk, SimulatedProcess("oracle"), delay=lambda: 0.0)
        settings = Settings(max_concurrency=1, batch_size=1, queries_per_minute=100_000)
        async with (
            open_streaming_transport(server) as transport,
            open_search_console(settings, transport=transport) as client,
        ):
            return await backfill(
                client, content.query, store, start=content.start, end=content.end, today=TODAY
            )

    summary = run_in_virtual_time(run)
    if summary.status != "complete":
        raise RuntimeError(f"the oracle is not complete: {summary.reason}")
    dump = disk.dump()
    disk.close()
    return dump
