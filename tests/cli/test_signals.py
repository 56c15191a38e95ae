"""What the first signal asks for, and what the second."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import trio

from gsc_trio.cli.signals import SIGNALS, halt_on_signals
from gsc_trio.halt import HaltSwitch


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("second", SIGNALS)
async def test_the_first_signal_halts_and_any_second_one_hurries(second: signal.Signals) -> None:
    switch = HaltSwitch()
    told: list[str] = []
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(halt_on_signals, switch, 4.0, told.append)
            signal.raise_signal(signal.SIGINT)
            await switch.requested.wait()
            assert not switch.hurried.is_set()
            signal.raise_signal(second)
            await switch.hurried.wait()
            nursery.cancel_scope.cancel()
    assert switch.halt is not None
    assert (switch.halt.status, switch.halt.reason) == ("interrupted", "interrupted by SIGINT")
    assert told[0].startswith("SIGINT: stopping; ")
    # Who presses once more while the summary is written does not end the program by the signal.
    assert all(signal.getsignal(number) is signal.SIG_IGN for number in SIGNALS)
