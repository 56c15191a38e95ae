"""The command line against a fake Search Console on loopback."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from gsc_trio.cli import main
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty, serve_fake_search_console
from gsc_trio.testing.transport import App

SITE = "sc-domain:example.com"

RunCli = Callable[..., Result]
Serve = Callable[[App], str]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in os.environ:
        if variable.startswith("GSC_TRIO_"):
            monkeypatch.delenv(variable)
    # Whoever runs the tests may be signed in.
    monkeypatch.setenv("GSC_TRIO_ACCOUNTS_FILE", str(tmp_path / "config" / "accounts.json"))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run_cli() -> RunCli:
    """Run a command in this process: ``run_cli("status", "--db", path)``."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a fake from a thread until the test ends; gives its address."""
    with ExitStack() as servers:
        yield lambda fake: servers.enter_context(_served(fake))


@contextmanager
def _served(fake: App) -> Iterator[str]:
    started: queue.SimpleQueue[tuple[str, Callable[[], None]]] = queue.SimpleQueue()

    async def serve_until_stopped() -> None:
        stopped, token = trio.Event(), trio.lowlevel.current_trio_token()
        async with serve_fake_search_console(fake) as address:
            started.put((address, lambda: token.run_sync_soon(stopped.set)))
            await stopped.wait()

    thread = threading.Thread(target=trio.run, args=[serve_until_stopped], daemon=True)
    thread.start()
    address, stop = started.get(timeout=60)
    try:
        yield address
    finally:
        stop()
        thread.join()


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=40)])


@pytest.fixture
def api_root(fake: FakeSearchConsole, serve: Serve) -> str:
    """The address of `fake`."""
    return serve(fake)
