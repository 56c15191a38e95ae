"""What `gsc_trio.coordinator.Coordinator.take_batch` says: a batch, or why there is none."""

from __future__ import annotations

import attrs

from gsc_trio.model import Halt, Job


@attrs.frozen
class Batch:
    """Jobs for one HTTP request."""

    jobs: tuple[Job, ...]


@attrs.frozen
class Backpressure:
    """Nothing to take now; `Coordinator.backpressure_relieved` waits until that changes."""

    reason: str
    """``max_in_flight``: too much is fetched and not committed yet. ``follow_ups``: the queue is
    empty, but a page in flight may have a follow-up job."""


@attrs.frozen
class Halted:
    """Nothing is given out any more, since the run stops."""

    halt: Halt


@attrs.frozen
class NoMoreWork:
    """The plan is done."""
