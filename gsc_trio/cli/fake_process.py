"""The fake Search Console as a process of its own, so that it takes no time from what it shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from gsc_trio.cli.fake_server import FakeServerOptions
from gsc_trio.cli.options import setting_flag
from gsc_trio.errors import GscTrioError

START_SECONDS = 30


@asynccontextmanager
async def open_fake_process(options: FakeServerOptions) -> AsyncIterator[str]:
    """Run ``gsc-trio fake-server`` for as long as the body runs; gives its root address.

    It ends with the body, and when this process is killed: its stdin closes then. It has a
    session of its own, so Ctrl-C reaches only this process, which still needs it to finish.

    Raises:
        GscTrioError: it did not start.
    """
    command = [sys.executable, "-P", "-m", "gsc_trio.cli", "fake-server", "--until-stdin-closes"]
    for name, value in attrs.asdict(options).items():
        if value is True:
            command += [setting_flag(name)]
        elif value is not None and value is not False:
            command += [setting_flag(name), str(value)]
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=False,
                start_new_session=True,
            )
        )
        yield await _first_line(process)
        nursery.cancel_scope.cancel()


async def _first_line(process: trio.Process) -> str:
    line = b""
    with trio.move_on_after(START_SECONDS):
        while not line.endswith(b"\n") and process.stdout is not None:
            chunk = await process.stdout.receive_some()
            if not chunk:
                break
            line += chunk
    if not line.endswith(b"\n"):
        raise GscTrioError("the fake Search Console did not start; try: gsc-trio fake-server")
    return line.decode().strip()
