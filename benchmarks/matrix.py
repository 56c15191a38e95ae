"""The cells that are measured: how many workers, how large batches, on which property.

For each property and batch size the sequential path (one worker) comes first: it is what the
others are compared with, so none of them may use another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

DEFAULT_WORKERS, DEFAULT_BATCH_SIZE = 3, 50
"""The library's defaults, in every selection."""


@attrs.frozen
class Cell:
    """One setting."""

    workers: int
    batch_size: int

    @property
    def is_sequential(self) -> bool:
        """Whether it takes the sequential path."""
        return self.workers == 1


@attrs.frozen
class Selection:
    """What to measure of a property.

    Args:
        batch_sizes: for each batch size, with how many workers beside one.
        latency_scale: what latency is multiplied by unless told otherwise.
    """

    batch_sizes: Mapping[int, Sequence[int]]
    latency_scale: float

    def cells(self) -> list[Cell]:
        """The cells in the order in which they are measured."""
        return [
            Cell(count, batch_size)
            for batch_size, workers in self.batch_sizes.items()
            for count in (1, *workers)
        ]


_ALL_WORKERS = (2, 3, 5, 10, 20)
_ALL = {1: _ALL_WORKERS, 10: _ALL_WORKERS, 50: _ALL_WORKERS}

FAST: Mapping[str, Selection] = {
    "small": Selection({50: (3, 5, 10)}, latency_scale=0.2),
    "middle": Selection({50: (3, 5, 10)}, latency_scale=0.25),
}
"""Under two minutes."""

RIGOROUS: Mapping[str, Selection] = {
    name: Selection(_ALL, latency_scale=1) for name in ("small", "middle", "full")
}
"""The whole matrix, at the latency of the model itself, in about 55 minutes of mostly waiting."""

OWN_CASSETTE = {False: FAST["middle"], True: RIGOROUS["full"]}
"""What is measured of a cassette of the user's own, by whether it is to be rigorous."""

CHEAP_SECONDS = 2.5
"""Cells whose ideal is shorter are measured `CHEAP_ROUNDS` times, others once."""

CHEAP_ROUNDS = 3


def selected(
    selection: Selection,
    batch_sizes: Sequence[int],
    workers: Sequence[int],
    latency_scale: float | None,
) -> Selection:
    """A selection that the user changed; what is not given stays."""
    counts = [count for count in dict.fromkeys(workers) if count > 1]
    return Selection(
        {
            size: counts if workers else selection.batch_sizes.get(size, _ALL_WORKERS)
            for size in (batch_sizes or selection.batch_sizes)
        },
        selection.latency_scale if latency_scale is None else latency_scale,
    )
