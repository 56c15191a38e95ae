"""Instruments: whoever wants to know what happens in a run.

An instrument is any object with a synchronous ``handle(event)``; it picks the events it knows and
lets the others pass. Ten lines are enough::

    from gsc_trio.telemetry.events import RunFinished, TransactionCommitted

    class SlowestCommit:
        seconds = 0.0

        def handle(self, event):
            if isinstance(event, TransactionCommitted):
                self.seconds = max(self.seconds, event.duration_seconds)
            elif isinstance(event, RunFinished):
                print(f"the slowest commit took {self.seconds:.3f} s")

It is given to the run, and to the client, which tells of HTTP requests and of the quota::

    instruments = [SlowestCommit()]
    async with open_search_console(settings, instruments=instruments) as client:
        await backfill(client, query, store, ..., instruments=instruments)

It is called on the event loop, between two checkpoints, so it must not block. One that raises is
switched off with a warning: watching a run never harms it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from gsc_trio.telemetry.events import Event

logger = logging.getLogger("gsc_trio")


class Instrument(Protocol):
    """Someone who watches."""

    def handle(self, event: Event) -> None:
        """Take note of an event, without blocking."""


class Instruments:
    """All instruments of a run behind one `handle`."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._instruments = list(instruments)

    @contextmanager
    def also(self, *instruments: Instrument) -> Iterator[None]:
        """Tell some more, until the context is left: those of one run, say, among several."""
        self._instruments += instruments
        try:
            yield
        finally:
            # One that raised is not there any more.
            self._instruments = [each for each in self._instruments if each not in instruments]

    def handle(self, event: Event) -> None:
        """Tell every instrument; drop those that raise."""
        for instrument in tuple(self._instruments):
            try:
                instrument.handle(event)
            except Exception:
                self._instruments.remove(instrument)
                logger.warning(
                    "instrument %r raised and is switched off for this run",
                    instrument,
                    exc_info=True,
                )
