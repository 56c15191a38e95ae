"""How long the fake takes to answer."""

from __future__ import annotations

import random

import attrs

SECONDS_PER_CALL = 0.350
SECONDS_PER_ROW = 25e-6
"""About what Google takes, by what others report; nothing here was measured at Google's."""


@attrs.define(eq=False)
class Latency:
    """A latency model: so much for a call, so much for each row in its answer.

    Args:
        seconds_per_call: of every call.
        seconds_per_row: of every row that is answered.
        scale: what both are multiplied by; 0 answers at once.
        jitter: each call takes this much longer or shorter at the most, as a share of 1.
        parallel_parts: whether the parts of a batch are worked on at the same time, rather than
            one after another.
        seed: where jitter comes from.
    """

    seconds_per_call: float = SECONDS_PER_CALL
    seconds_per_row: float = SECONDS_PER_ROW
    scale: float = 1.0
    jitter: float = 0.0
    parallel_parts: bool = False
    seed: int = 0
    _chance: random.Random = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def seconds(self, rows: int) -> float:
        """How long a call takes whose answer has so many rows."""
        share = self._chance.uniform(1 - self.jitter, 1 + self.jitter) if self.jitter else 1.0
        return (self.seconds_per_call + rows * self.seconds_per_row) * self.scale * share
