"""Ctrl-C, SIGTERM, a closed terminal: the first stops fetching, the second also stops writing.

Either way every page that was committed stays, and the next run goes on from there. SIGHUP that
somebody sends on purpose, to a run with a settings file, has that read again instead.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import trio

from gsc_trio.cli.live_settings import LiveSettings
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""SIGHUP says that the terminal was closed, or that settings are to be read again."""


def signals_to_heed() -> list[signal.Signals]:
    """All but those that whoever started this program wants ignored, as nohup does."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


async def halt_on_signals(
    halt_switch: HaltSwitch,
    grace_seconds: float,
    tell: Callable[[str], None],
    live_settings: LiveSettings | None = None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled; started once the signals are received here.

    Args:
        halt_switch: what stops the run.
        grace_seconds: how long writing may go on after the first signal.
        tell: says to the person who pressed Ctrl-C what happens; it is called in a thread, since
            a terminal may be stopped and block.
        live_settings: what is read again at SIGHUP, unless the terminal is being closed.
        task_status: tells `trio.Nursery.start` that signals are received here from now on.
    """
    numbers = set(signals_to_heed())
    if live_settings is not None:
        numbers.add(signal.SIGHUP)
    with _ignored_afterwards(numbers, halt_switch), trio.open_signal_receiver(*numbers) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            is_running = halt_switch.halt is None
            if live_settings and is_running and await live_settings.is_meant(number):
                message = await live_settings.read_again()
            elif is_running:
                halt_switch.request(Halt(f"interrupted by {name}", status="interrupted"))
                message = (
                    f"{name}: stopping; pages that were answered are being written, for at most "
                    f"{grace_seconds:g} s. Once more stops at once."
                )
            else:
                halt_switch.hurry()
                message = f"{name} again: stopping at once; what was committed stays."
            await trio.to_thread.run_sync(tell, message)


@contextmanager
def _ignored_afterwards(
    numbers: Iterable[signal.Signals], halt_switch: HaltSwitch
) -> Iterator[None]:
    """Who presses Ctrl-C twice may do so when the run is over and its summary is being written."""
    before = {number: signal.getsignal(number) for number in numbers}
    for number in before:
        signal.signal(number, signal.SIG_IGN)  # what the receiver puts back when it is closed
    try:
        yield
    finally:
        if halt_switch.halt is None or halt_switch.halt.status != "interrupted":
            for number, handler in before.items():
                signal.signal(number, handler)
