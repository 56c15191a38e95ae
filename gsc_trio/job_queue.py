"""The job queue: bounded, sorted by sequence number, fed from a backlog that is not.

It is a structure of our own and no memory channel, because jobs must be able to go back to the
front of it, and then its tail must be able to leave again to keep it within its bound.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Collection, Iterable
from operator import attrgetter

import attrs

from gsc_trio.model import Job


@attrs.define(eq=False)
class QueuedJob:
    """A job on its way from the plan to its commit."""

    sequence: int
    """Its place in the order in which pages are handed over."""
    job: Job
    is_answered: bool = False
    """Whether its page waits for its turn."""


_in_order: Callable[[QueuedJob], int] = attrgetter("sequence")


class JobQueue:
    """Jobs in order; each job enters once, unless its day is begun again.

    Args:
        plan: the first jobs, numbered in this order; doubled ones are left out.
        max_size: how many jobs the queue holds. More wait in the backlog, behind it.
    """

    def __init__(self, plan: Iterable[Job], max_size: int) -> None:
        self._max_size = max_size
        self._known: set[Job] = set()
        self._entered = 0
        self._queue: deque[QueuedJob] = deque()
        self._backlog: deque[QueuedJob] = deque()
        for job in plan:
            self.append(job)

    def __len__(self) -> int:
        """How many jobs are in the queue. It is 0 only if the backlog is empty too."""
        return len(self._queue)

    @property
    def total(self) -> int:
        """How many jobs are still to be taken, the backlog included."""
        return len(self._queue) + len(self._backlog)

    @property
    def first_sequence(self) -> int | None:
        """The sequence number of the first job, or None if there is no job."""
        return self._queue[0].sequence if self._queue else None

    def append(self, job: Job) -> None:
        """Put a job at the end, unless it was there before."""
        if job not in self._known:
            self._backlog.append(QueuedJob(self._entered, job))
            self._known.add(job)
            self._entered += 1
            self._refill()

    def begin_again(self, days: Collection[dt.date]) -> None:
        """Put the first jobs of days at the end, and let those that follow them enter once more."""
        self._known = {job for job in self._known if job.data_date not in days}
        for day in days:
            self.append(Job(day))

    def take(self, count: int, *, among: int) -> list[QueuedJob]:
        """Take the first job and every n-th behind it.

        Args:
            count: how many at the most; at the end of the queue it may be a few less.
            among: how many of the first jobs they are to be spread over, about.
        """
        queue = self._queue
        step = max(1, round(min(among, len(queue)) / count))
        taken = [queue.popleft()]
        left: list[QueuedJob] = []
        while len(queue) >= step and len(taken) < count:
            left += [queue.popleft() for _ in range(step - 1)]
            taken.append(queue.popleft())
        queue.extendleft(reversed(left))
        self._refill()
        return taken

    def give_back(self, jobs: Iterable[QueuedJob]) -> None:
        """Put jobs back where they were: before all that come later in order."""
        merged = sorted([*jobs, *self._queue], key=_in_order)
        self._queue, rest = deque(merged[: self._max_size]), merged[self._max_size :]
        last = rest[-1].sequence if rest else -1
        while self._backlog and self._backlog[0].sequence < last:
            rest.append(self._backlog.popleft())  # it came back before the last of these
        self._backlog.extendleft(sorted(rest, key=_in_order, reverse=True))

    def _refill(self) -> None:
        while self._backlog and len(self._queue) < self._max_size:
            self._queue.append(self._backlog.popleft())
