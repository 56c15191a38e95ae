"""Instruments: anyone can write one, and none of them harms a run."""

from __future__ import annotations

import datetime as dt
import inspect
import logging
from typing import Any

import pytest
import trio.testing

from gsc_trio.model import Job, Page
from gsc_trio.telemetry import instrument as module
from gsc_trio.telemetry.events import Event, PageCommitted, RunFinished
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.testing import run_in_virtual_time
from tests.telemetry.runs import Recorder, fake_with_faults, run_with


class Broken:
    """Raises at its first page."""

    def __init__(self) -> None:
        self.calls = 0

    def handle(self, event: Event) -> None:
        if isinstance(event, PageCommitted):
            self.calls += 1
            raise ZeroDivisionError("secret-free")


@pytest.mark.parametrize("max_concurrency", [1, 3])
async def test_one_that_raises_is_switched_off_and_the_run_goes_on(
    max_concurrency: int,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: trio.testing.MockClock,
) -> None:
    broken, other = Broken(), Recorder()
    summary = await run_with(
        [broken, other], fake_with_faults(), max_concurrency=max_concurrency, batch_size=4
    )
    assert summary.status == "complete"
    assert broken.calls == 1
    assert len(other.of(PageCommitted)) == summary.pages
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "switched off" in record.getMessage()
    assert "Broken" in record.getMessage()


def test_some_are_told_for_a_while() -> None:
    always, for_a_while, broken = Recorder(), Recorder(), Broken()
    instruments = Instruments([always])
    event = PageCommitted(Page(Job(dt.date(2026, 6, 17)), [], 20, 2))
    with instruments.also(for_a_while, broken):
        instruments.handle(event)
    instruments.handle(event)
    assert (len(always.events), len(for_a_while.events), broken.calls) == (2, 1, 1)


def test_a_cancellation_of_an_instrument_is_not_swallowed() -> None:
    class Interrupted:
        def handle(self, event: Event) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Instruments([Interrupted()]).handle(RunFinished("complete", "", 0.0))


def test_the_example_of_the_documentation_is_ten_lines_that_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    documentation = inspect.getdoc(module)
    assert documentation is not None
    indented = documentation.split("are enough::\n", 1)[1].split("\nIt is given", 1)[0]
    code = inspect.cleandoc(indented)
    assert len([line for line in code.splitlines() if line]) <= 10
    names: dict[str, Any] = {}
    exec(code, names)  # it is our own documentation
    instrument = names["SlowestCommit"]()
    run_in_virtual_time(lambda: run_with([instrument], fake_with_faults()))
    assert capsys.readouterr().out == "the slowest commit took 0.250 s\n"
