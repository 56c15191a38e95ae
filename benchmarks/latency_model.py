"""How long the simulated Google takes: the model that every ideal is computed from.

A call takes ``seconds_per_call`` and ``seconds_per_row`` for each row in its answer. The parts of
a batch are answered one after another, each while the one before it is still being sent; in the
second model they are worked on in parallel and the slowest part counts. Both are multiplied by
``scale``, which shortens runs: 0.2 makes a minute twelve seconds, and everything that is not
latency weigh five times as much. So a scaled run says less good things of the program than the
real thing would. The model is `gsc_trio.testing.Latency` without jitter; that one answers, this
one foretells.
"""

from __future__ import annotations

import attrs

from gsc_trio.testing.latency import SECONDS_PER_CALL, SECONDS_PER_ROW


@attrs.frozen
class LatencyModel:
    """A latency model; parameters as above."""

    seconds_per_call: float = SECONDS_PER_CALL
    seconds_per_row: float = SECONDS_PER_ROW
    scale: float = 1.0
    parallel_parts: bool = False

    def seconds(self, rows: int) -> float:
        """How long a call takes whose answer has so many rows, the scale included."""
        return (self.seconds_per_call + rows * self.seconds_per_row) * self.scale

    def __str__(self) -> str:
        parts = "in parallel" if self.parallel_parts else "one after another"
        return (
            f"{self.seconds_per_call * 1e3:g} ms a call plus {self.seconds_per_row * 1e6:g} µs a "
            f"row, the parts of a batch {parts}, latency scale {self.scale:g}"
        )
