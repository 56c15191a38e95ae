"""Two readings that change when nothing happens: recent rows per second, and quota in use."""

from __future__ import annotations

from collections import deque

import attrs
import trio

from gsc_trio.telemetry.events import Event, PageCommitted, QuotaUsed

RATE_SECONDS = 10.0
"""Over how long rows per second are counted: pages are committed in bursts."""


@attrs.define(eq=False)
class RowRate:
    """An instrument that knows how many rows were committed in the last seconds."""

    _recent: deque[tuple[float, int]] = attrs.field(factory=deque)
    _rows: int = 0

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, PageCommitted):
            self._recent.append((trio.current_time(), len(event.page.rows)))
            self._rows += len(event.page.rows)
            self._forget_old()

    def read(self, elapsed_seconds: float) -> float:
        """Rows per second, of a run that takes that long so far."""
        self._forget_old()
        seconds = min(elapsed_seconds, RATE_SECONDS)
        return self._rows / seconds if seconds else 0.0

    def _forget_old(self) -> None:
        horizon = trio.current_time() - RATE_SECONDS
        while self._recent and self._recent[0][0] <= horizon:
            self._rows -= self._recent.popleft()[1]


@attrs.define(eq=False)
class QuotaGauge:
    """An instrument that knows how much is used of the limit that is nearest to be reached."""

    _told: dict[str, QuotaUsed] = attrs.field(factory=dict)

    def handle(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, QuotaUsed):
            self._told[event.key] = event

    def read(self) -> tuple[int, int]:
        """Used, and the limit; both 0 before anything was told."""
        readings = [(told.used_now(), told.limit) for told in self._told.values()]
        return max(readings, key=lambda reading: reading[0] / reading[1], default=(0, 0))
