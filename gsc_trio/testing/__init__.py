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

Behind a sign-in::

    oauth = FakeOAuthServer()
    fake = FakeSearchConsole([...], access_tokens=oauth.access_tokens)
    async with serve_fake_search_console(oauth.in_front_of(fake)) as api_root:
        client_file = oauth.client_file(api_root)  # for `gsc-trio login --client`

From a cassette, without the work of making rows and compressing them::

    write_cassette(record_simulated(simulated, start=start, end=end), "150-days.cassette")
    fake = FakeSearchConsole(recorded_properties(read_cassette("150-days.cassette")))

Recorded from a run, live or not::

    with open_recorder("run.cassette") as recorder:
        async with open_search_console(settings, on_answer=recorder.keep) as client:
            await backfill(client, query, store, ..., instruments=[recorder])
        recorder.save()

A whole world with faults and crashes, from a seed (``python -m gsc_trio.testing --seed 7``)::

    report = simulate(seed=7)
"""

from gsc_trio.testing.cassette import (
    Cassette,
    RecordedAnswer,
    RecordedRequest,
    make_cassette,
    read_cassette,
    record_simulated,
    write_cassette,
)
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
from gsc_trio.testing.oauth import FakeOAuthServer
from gsc_trio.testing.promises import BrokenPromiseError
from gsc_trio.testing.property import SimulatedProperty
from gsc_trio.testing.proxy import open_faulty_proxy
from gsc_trio.testing.quota import InspectionQuota, Quota
from gsc_trio.testing.recording import Recorder, open_recorder
from gsc_trio.testing.replay import RecordedProperty, recorded_properties
from gsc_trio.testing.response import ConnectionCutError
from gsc_trio.testing.search_console import FakeSearchConsole, SeenCall
from gsc_trio.testing.serving import serve_fake_search_console
from gsc_trio.testing.transport import open_streaming_transport
from gsc_trio.testing.virtual_time import SpillInMemory, run_in_virtual_time
from gsc_trio.testing.world import WorldReport, simulate

__all__ = [
    "BadGzip",
    "BadJson",
    "BrokenPromiseError",
    "Cassette",
    "ConnectionCutError",
    "CutOff",
    "DoubledPart",
    "Drip",
    "FakeOAuthServer",
    "FakeSearchConsole",
    "Fault",
    "HtmlPage",
    "InspectionQuota",
    "Latency",
    "MissingPart",
    "Quota",
    "RecordedAnswer",
    "RecordedProperty",
    "RecordedRequest",
    "Recorder",
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
    "make_cassette",
    "open_faulty_proxy",
    "open_recorder",
    "open_streaming_transport",
    "read_cassette",
    "record_simulated",
    "recorded_properties",
    "run_in_virtual_time",
    "serve_fake_search_console",
    "simulate",
    "write_cassette",
]
