"""The testing kit: a fake Search Console, virtual time, and a simulated world.

In process, for tests in virtual time::

    fake = FakeSearchConsole([SimulatedProperty("sc-domain:example.com")])
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(Settings(), transport=transport) as client,
    ):
        ...

On a socket::

    async with serve_fake_search_console(fake) as api_root:
        settings = Settings(api_root=api_root)

A whole world with faults and crashes, from a seed (``python -m gsc_trio.testing --seed 7``)::

    report = simulate(seed=7)
"""

from gsc_trio.testing.faults import (
    BadGzip,
    BadJson,
    CutOff,
    DoubledPart,
    Fault,
    HtmlPage,
    MissingPart,
    Refuse,
    ShiftedRows,
    Stall,
    UnknownPart,
)
from gsc_trio.testing.latency import Latency
from gsc_trio.testing.network_faults import Drip, Reset, Silence, Truncate
from gsc_trio.testing.promises import BrokenPromiseError
from gsc_trio.testing.property import SimulatedProperty
from gsc_trio.testing.proxy import open_faulty_proxy
from gsc_trio.testing.quota import Quota
from gsc_trio.testing.search_console import ConnectionCutError, FakeSearchConsole, SeenCall
from gsc_trio.testing.serving import serve_fake_search_console
from gsc_trio.testing.transport import open_streaming_transport
from gsc_trio.testing.virtual_time import SpillInMemory, run_in_virtual_time
from gsc_trio.testing.world import WorldReport, simulate

__all__ = [
    "BadGzip",
    "BadJson",
    "BrokenPromiseError",
    "ConnectionCutError",
    "CutOff",
    "DoubledPart",
    "Drip",
    "FakeSearchConsole",
    "Fault",
    "HtmlPage",
    "Latency",
    "MissingPart",
    "Quota",
    "Refuse",
    "Reset",
    "SeenCall",
    "ShiftedRows",
    "Silence",
    "SimulatedProperty",
    "SpillInMemory",
    "Stall",
    "Truncate",
    "UnknownPart",
    "WorldReport",
    "open_faulty_proxy",
    "open_streaming_transport",
    "run_in_virtual_time",
    "serve_fake_search_console",
    "simulate",
]
