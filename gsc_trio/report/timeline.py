"""A run over time, in bounded memory: slots of equal length, which merge as the run grows.

A run begins with slots of a tenth of a second. When it has outgrown `MAX_SLOTS` of them, each two
neighbours become one, and a slot is twice as long from then on. So a run of any length has between
half of `MAX_SLOTS` and all of them once it is longer than some seconds, and a slot never mixes what
lies further apart than a hundredth of the run.
"""

from __future__ import annotations

import attrs

from gsc_trio.report.quantiles import Durations

MAX_SLOTS = 240

FIRST_SLOT_SECONDS = 0.1


@attrs.define
class Gauge:
    """A level, as the queue's depth: the highest in a slot, and the last, with which it ends."""

    highest: float | None = None
    last: float | None = None

    def set(self, level: float) -> None:
        """Take note of the level from now on."""
        self.last = level
        self.highest = level if self.highest is None else max(self.highest, level)

    def merge(self, later: Gauge) -> None:
        """Take in what came after it."""
        if later.highest is not None and later.last is not None:
            self.set(later.highest)
            self.last = later.last


@attrs.define
class Slot:
    """What happened within one slot."""

    queries: int = 0
    refused: int = 0
    retries: int = 0
    rows: int = 0
    paused_seconds: float = 0.0
    queries_per_minute: Gauge = attrs.field(factory=Gauge)
    queue_depth: Gauge = attrs.field(factory=Gauge)
    in_flight: Gauge = attrs.field(factory=Gauge)
    workers: Gauge = attrs.field(factory=Gauge)
    resident_bytes: Gauge = attrs.field(factory=Gauge)
    waiting_bytes: Gauge = attrs.field(factory=Gauge)
    latencies: Durations = attrs.field(factory=Durations)

    def merge(self, later: Slot) -> None:
        """Take in the slot after it."""
        for field in attrs.fields(Slot):
            mine, theirs = getattr(self, field.name), getattr(later, field.name)
            if isinstance(mine, Gauge | Durations):
                mine.merge(theirs)
            else:
                setattr(self, field.name, mine + theirs)


@attrs.define(eq=False)
class Timeline:
    """The slots of a run, from its first moment to the last that was asked for."""

    slot_seconds: float = FIRST_SLOT_SECONDS
    slots: list[Slot] = attrs.field(factory=list)

    def at(self, seconds: float) -> Slot:
        """The slot of a moment, in seconds since the run began; slots up to it are made."""
        while seconds >= MAX_SLOTS * self.slot_seconds:
            self._halve()
        number = int(seconds / self.slot_seconds)
        while len(self.slots) <= number:
            self.slots.append(Slot())
        return self.slots[number]

    def add_pause(self, begin: float, end: float) -> None:
        """Count a pause in all slots that it touches.

        Args:
            begin: in seconds since the run began.
            end: likewise, and not in the future.
        """
        self.at(end)
        first, last = int(begin / self.slot_seconds), int(end / self.slot_seconds)
        for number in range(first, last + 1):
            slot_begin = number * self.slot_seconds
            overlap = min(end, slot_begin + self.slot_seconds) - max(begin, slot_begin)
            self.slots[number].paused_seconds += max(0.0, overlap)

    def _halve(self) -> None:
        for earlier, later in zip(self.slots[::2], self.slots[1::2], strict=False):
            earlier.merge(later)
        self.slots = self.slots[::2]
        self.slot_seconds *= 2
