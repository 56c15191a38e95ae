"""SIGHUP has the settings file read again, unless the terminal is being closed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from gsc_trio.cli.live_settings import LiveSettings, SettingsSources
from gsc_trio.cli.signals import SIGNALS, halt_on_signals
from gsc_trio.cli.terminal import Terminal
from gsc_trio.concurrency import Concurrency
from gsc_trio.halt import HaltSwitch
from gsc_trio.testing import FakeSearchConsole, Latency, SimulatedProperty
from tests.cli.conftest import SITE, Serve
from tests.cli.test_processes import GSC_TRIO, wait_until
from tests.processes import after, running

FILE = Path("gsc-trio.toml")
HALT_SECONDS = 5.0


def live_settings(text: str, **flags: Any) -> LiveSettings:
    """A run that began with a file of this text."""
    FILE.write_text(text)
    sources = SettingsSources(None, FILE, {"max_concurrency": None, "batch_size": None, **flags})
    settings = sources.load()
    setting = settings.max_concurrency
    return LiveSettings(sources, settings, None if setting == 1 else Concurrency(setting))


async def read(live: LiveSettings, text: str) -> str:
    await trio.Path(FILE).write_text(text)
    line = await live.read_again()
    assert "\n" not in line
    return line


async def test_the_concurrency_follows_the_file() -> None:
    live = live_settings("max_concurrency = 3\n")
    assert live.concurrency is not None
    for text, limit, told in (
        ("max_concurrency = 5", 5, "max_concurrency 3 → 5"),
        ("max_concurrency = 5", 5, "nothing has changed"),
        ("max_concurrency = 1", 1, "max_concurrency 5 → 1; batches under way end first"),
        ('max_concurrency = "auto"', 1, "max_concurrency 1 → auto"),
        ('profile = "dev"', 2, "max_concurrency auto → 2"),
        ("", 3, "max_concurrency 2 → 3"),
    ):
        assert await read(live, text) == f"SIGHUP: read gsc-trio.toml again: {told}"
        assert live.concurrency.limit == limit


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "max_concurrency = 0",
            "max_concurrency in gsc-trio.toml, line 1 is 0: use a whole number from",
        ),
        ("max_concurrency = ", "the settings file gsc-trio.toml is not valid TOML: "),
        ("max_concurency = 1", "gsc-trio.toml, line 1: unknown setting 'max_concurency': did you"),
        ("max_concurrency = 1\nbatch_size = 0", "batch_size in gsc-trio.toml, line 2 is 0: "),
    ],
)
async def test_a_file_with_a_mistake_changes_nothing(text: str, told: str) -> None:
    live = live_settings("max_concurrency = 3\n")
    line = await read(live, text)
    assert line.startswith(f"SIGHUP: {told}")
    assert line.endswith("; the run goes on as it is")
    await trio.Path(FILE).unlink()
    assert await live.read_again() == (
        "SIGHUP: cannot read the settings file gsc-trio.toml: No such file or directory; the run "
        "goes on as it is"
    )
    assert live.concurrency is not None
    assert live.concurrency.limit == 3


async def test_other_settings_are_for_the_next_run_and_no_secret_is_told() -> None:
    live = live_settings("max_concurrency = 3\n")
    text = 'max_concurrency = 4\nbatch_size = 9\naccess_token = "s3cret"\n'
    assert await read(live, text) == (
        "SIGHUP: read gsc-trio.toml again: max_concurrency 3 → 4; batch_size, access_token: for "
        "the next run"
    )
    assert (await read(live, text)).endswith("again: batch_size, access_token: for the next run")
    assert "s3cret" not in repr(live)


async def test_a_flag_and_a_variable_win_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    live = live_settings("max_concurrency = 3\n", max_concurrency=4)
    assert (await read(live, "max_concurrency = 1")).endswith(
        "again: max_concurrency stays 4, since --max-concurrency wins over the file"
    )
    assert (await read(live, "max_concurrency = 4")).endswith("again: nothing has changed")
    monkeypatch.setenv("GSC_TRIO_MAX_CONCURRENCY", "2")
    live = live_settings("max_concurrency = 3\n")
    assert (await read(live, "max_concurrency = 1")).endswith(
        "again: max_concurrency stays 2, since GSC_TRIO_MAX_CONCURRENCY wins over the file"
    )
    assert live.concurrency is not None
    assert live.concurrency.limit == 2


async def test_the_plain_loop_stays_one() -> None:
    live = live_settings('profile = "sequential"\n')
    assert (await read(live, "max_concurrency = 3")).endswith(
        "again: max_concurrency 3 is for the next run: this one is the plain sequential loop"
    )


def test_the_file_may_be_named_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SettingsSources(None, None, {}).file is None
    monkeypatch.setenv("GSC_TRIO_CONFIG", "elsewhere.toml")
    assert SettingsSources(None, None, {}).file == Path("elsewhere.toml")
    assert SettingsSources(None, FILE, {}).file == FILE


# The signal.


@pytest.fixture
def handlers_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@attrs.define(eq=False)
class FakeTerminal(Terminal):
    closes: bool

    async def is_closing(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self.closes


@pytest.mark.usefixtures("handlers_are_put_back")
async def test_the_signal_halts_only_if_the_terminal_is_being_closed() -> None:
    live, switch = live_settings("max_concurrency = 3\n"), HaltSwitch()
    terminal = live.terminal = FakeTerminal(closes=False)
    told, has_told = [], trio.Event()

    def tell(text: str) -> None:
        told.append(text)
        trio.from_thread.run_sync(has_told.set)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(halt_on_signals, switch, 4.0, tell, live)
            signal.raise_signal(signal.SIGHUP)
            await has_told.wait()
            assert switch.halt is None
            terminal.closes = True
            signal.raise_signal(signal.SIGHUP)
            await switch.requested.wait()
            signal.raise_signal(signal.SIGHUP)
            await switch.hurried.wait()
            nursery.cancel_scope.cancel()
    assert switch.halt is not None
    assert switch.halt.reason == "interrupted by SIGHUP"
    assert told[:1] == ["SIGHUP: read gsc-trio.toml again: nothing has changed"]
    assert told[1].startswith("SIGHUP: stopping; ")


# Real processes.


@pytest.fixture
def slow_fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)], latency=Latency(seconds_per_call=0.1)
    )


def command_line(command: str, api_root: str, *arguments: str) -> list[str]:
    common = ["--db", "gsc.db", "--config", str(FILE), "--api-root", api_root]
    return [*GSC_TRIO, command, *common, "--batch-size", "5", "--json", *arguments]


def backfill(api_root: str) -> list[str]:
    return command_line("backfill", api_root, SITE, "--days", "120")


def wait_for_calls(fake: FakeSearchConsole, count: int) -> None:
    wait_until(lambda: len(fake.calls) > count)


def test_it_is_raised_and_rolled_back_in_mid_run_without_a_terminal(
    serve: Serve, slow_fake: FakeSearchConsole
) -> None:
    FILE.write_text("max_concurrency = 2\n")
    process = running(
        after("trap '' HUP", backfill(serve(slow_fake))),  # as nohup does
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process as child:
        for calls, text in ((8, "max_concurrency = 6"), (30, "oops"), (50, "max_concurrency = 1")):
            wait_for_calls(slow_fake, calls)
            FILE.write_text(text)
            child.send_signal(signal.SIGHUP)
        wait_for_calls(slow_fake, 90)
        slow_fake.latency = Latency(scale=0)
        stdout, stderr = child.communicate(timeout=40)
    assert child.returncode == 0, stderr
    assert json.loads(stdout)["days"] == 120
    lines = [line for line in stderr.splitlines() if line.startswith("SIGHUP")]
    assert lines[0] == "SIGHUP: read gsc-trio.toml again: max_concurrency 2 → 6"
    assert lines[1].startswith("SIGHUP: the settings file gsc-trio.toml is not valid TOML: ")
    assert lines[2].endswith("max_concurrency 6 → 1; batches under way end first")
    assert "6 → 1 workers: gsc-trio.toml was read again" in stderr


def test_a_sync_follows_the_file_too(serve: Serve, slow_fake: FakeSearchConsole) -> None:
    target = f'[[sync]]\nsites = ["{SITE}"]\ndays = 60\n'
    FILE.write_text(f"max_concurrency = 2\n{target}")
    sync = command_line("sync", serve(slow_fake))
    with running(sync, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        wait_for_calls(slow_fake, 8)
        FILE.write_text(f"max_concurrency = 1\n{target}")
        child.send_signal(signal.SIGHUP)
        wait_for_calls(slow_fake, 30)
        slow_fake.latency = Latency(scale=0)
        stdout, stderr = child.communicate(timeout=40)
    assert child.returncode == 0, stderr
    assert json.loads(stdout)["targets"][0]["days"] == 60
    assert "gsc-trio.toml again: max_concurrency 2 → 1; batches under way end first" in stderr
    assert "2 → 1 workers: gsc-trio.toml was read again" in stderr


def test_with_a_terminal_the_signal_is_no_hang_up_but_closing_it_is(
    serve: Serve, slow_fake: FakeSearchConsole
) -> None:
    FILE.write_text("max_concurrency = 2\n")
    ours, theirs = pty.openpty()
    process = running(
        ["setsid", "--ctty", *backfill(serve(slow_fake))],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process as child:
        os.close(theirs)
        assert child.stderr is not None
        wait_for_calls(slow_fake, 8)
        FILE.write_text("max_concurrency = 4\n")
        child.send_signal(signal.SIGHUP)
        told = next(line for line in child.stderr if line.startswith("SIGHUP"))
        assert told == "SIGHUP: read gsc-trio.toml again: max_concurrency 2 → 4\n"
        os.close(ours)  # the kernel hangs up
        assert child.wait(timeout=HALT_SECONDS) == 130
        assert "SIGHUP: stopping" in child.stderr.read()
