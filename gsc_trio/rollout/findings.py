"""Everything that a rollout found out so far, and the figures that follow from it."""

from __future__ import annotations

import os
from itertools import cycle, islice

import attrs

from gsc_trio.rollout.comparison import Comparison
from gsc_trio.rollout.ideal import Ideal, makespan_bound, quota_bound
from gsc_trio.rollout.measurement import Measurement
from gsc_trio.rollout.plan import BASELINE, RolloutRequest, Stage


@attrs.frozen
class Check:
    """A check of the preflight."""

    name: str
    is_good: bool
    text: str
    """What was seen, and what to do about it if that is not good."""


@attrs.frozen
class Drill:
    """How fast a run could be stopped and slowed down."""

    halt_seconds: float | None
    """From asking for the halt until nothing was left running; None if the run ended before."""
    rollback_seconds: float | None
    """From the change to 1 until only one worker was at work; None if the run ended before."""
    pages_committed_twice: int
    """Pages that were committed before the halt and once more after it."""


@attrs.define
class Findings:
    """What is known; it grows from stage to stage."""

    request: RolloutRequest
    has_begun: bool = False
    """Whether the preflight is over and the rollout's folder is its own."""
    checks: list[Check] = attrs.field(factory=list)
    measurements: dict[str, Measurement] = attrs.field(factory=dict)
    """By the stage's name."""
    comparisons: dict[str, Comparison] = attrs.field(factory=dict)
    """By the stage's name: its database against the baseline's."""
    drill: Drill | None = None
    interruption: str = ""
    """Why the rollout was stopped from outside, or nothing."""
    failure: str = ""
    """What else kept it from going on, as a full disk, or nothing."""

    def speed_up(self, stage: Stage) -> float:
        """How many times as fast as the sequential loop a stage was.

        The loop's time for as many pages, by its pace: where the baseline is a sample, that is
        what it would have taken for all days.
        """
        run, loop = self.measurements[stage.name], self.measurements[BASELINE.name]
        return loop.seconds_per_page * run.pages / run.seconds if run.seconds else 0.0

    def ideal(self, stage: Stage) -> Ideal:
        """The shortest time that a stage could have taken, by the latencies of the baseline."""
        run, loop = self.measurements[stage.name], self.measurements[BASELINE.name]
        by_day: dict[object, float] = {}
        for job, seconds in loop.page_seconds.items():
            by_day[job.data_date] = by_day.get(job.data_date, 0.0) + seconds
        # Where the baseline is a sample, all days are taken to be like it.
        latencies = sorted(islice(cycle(loop.page_seconds.values()), run.pages), reverse=True)
        return Ideal(
            latency=max(
                makespan_bound(latencies, run.concurrency), max(by_day.values(), default=0.0)
            ),
            quota=quota_bound(run.pages, self.request.settings.queries_per_minute),
            processor=run.cpu_seconds / (os.cpu_count() or 1),
        )

    def possible_speed_up(self, stage: Stage) -> float:
        """The highest speed-up that a stage could have had."""
        run, loop = self.measurements[stage.name], self.measurements[BASELINE.name]
        seconds = self.ideal(stage).seconds
        return loop.seconds_per_page * run.pages / seconds if seconds else 0.0

    def full_batch_seconds(self) -> float:
        """How long a batch of full size takes: the longest that a worker may go on for."""
        loop = self.measurements[BASELINE.name]
        latencies = loop.page_seconds.values()
        mean = sum(latencies) / len(latencies) if latencies else 0.0
        longest = max(run.longest_batch_seconds for run in self.measurements.values())
        return max(longest, mean * self.request.settings.batch_size)
