"""Ctrl-C and SIGTERM: the first stops fetching, the second also stops writing.

Either way every page that was committed stays, and the next run goes on from there.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio

from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def halt_on_signals(
    halt_switch: HaltSwitch,
    grace_seconds: float,
    tell: Callable[[str], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen until cancelled; started once the signals are received here.

    Args:
        halt_switch: what stops the run.
        grace_seconds: how long writing may go on after the first signal.
        tell: says to the person who pressed Ctrl-C what happens; it is called in a thread, since
            a terminal may be stopped and block.
        task_status: tells `trio.Nursery.start` that signals are received here from now on.
    """
    with trio.open_signal_receiver(*SIGNALS) as received:
        task_status.started()
        async for number in received:
            name = signal.Signals(number).name
            if halt_switch.halt is None:
                halt_switch.request(Halt(f"interrupted by {name}", status="interrupted"))
                message = (
                    f"{name}: stopping; pages that were answered are being written, for at most "
                    f"{grace_seconds:g} s. Once more stops at once."
                )
            else:
                halt_switch.hurry()
                message = f"{name} again: stopping at once; what was committed stays."
            await trio.to_thread.run_sync(tell, message)
