"""How the workers of one account are dealt to the runs that share them.

Rules:

1. There are no more runs at once than workers, so each has at least one, and however many
   properties there are, there are only ``max_concurrency`` workers for each account.
2. Workers are dealt equally. When fewer runs than workers are left, these have more; the last one
   has them all.
3. A run that failed and waits to try again keeps one worker and gives its place to another run,
   until it is answered: properties that fail hold up no others. There are at most
   `MAX_RUNS_PER_WORKER` times as many runs as workers.

Deciding is synchronous. Must never: start or end a run; it says when there is room for one.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from gsc_trio.concurrency import Concurrency
from gsc_trio.telemetry.events import Event, JobsRetried, PageAnswered

MAX_RUNS_PER_WORKER = 4
"""How many runs there may be for each worker, if most of them only wait to try again."""

_REASON = "workers are shared with other properties"


@attrs.define(eq=False)
class Member:
    """A run that has a share."""

    crew: Crew = attrs.field(repr=False)
    concurrency: Concurrency = attrs.field(factory=lambda: Concurrency(1))
    """How many workers it may have now."""
    is_stuck: bool = False
    """Whether it failed, and was not answered since."""

    def handle(self, event: Event) -> None:
        """Follow the run's events, as one of its instruments."""
        match event:
            case JobsRetried(delay_seconds=seconds) if seconds > 0 and not self.is_stuck:
                self.is_stuck = True
                self.crew.deal()
                self.crew.on_room()
            case PageAnswered() if self.is_stuck:
                self.is_stuck = False
                self.crew.deal()
            case _:
                pass


@attrs.define(eq=False)
class Crew:
    """The workers of one account.

    Args:
        total: how many there are, now.
        on_room: called when a run gives its place away.
        runs_at_once: at most so many runs; by default what the rules say.
    """

    total: Concurrency
    on_room: Callable[[], None]
    runs_at_once: int | None = None
    _members: list[Member] = attrs.field(factory=list, init=False)

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self._members)

    @property
    def has_room(self) -> bool:
        """Whether another run may begin."""
        if self.runs_at_once is not None:
            return len(self) < self.runs_at_once
        working = sum(not member.is_stuck for member in self._members)
        return working < self.total.limit and len(self) < MAX_RUNS_PER_WORKER * self.total.limit

    def join(self) -> Member:
        """Begin a run; the others may have to give a worker away."""
        member = Member(self)
        self._members.append(member)
        self.deal()
        return member

    def leave(self, member: Member) -> None:
        """End a run; its workers are the others' now."""
        self._members.remove(member)
        self.deal()

    def deal(self) -> None:
        """Give each run its share."""
        working = [member for member in self._members if not member.is_stuck]
        share, left_over = divmod(self.total.limit, max(1, len(working)))
        wanted = {
            member: max(1, share + (place < left_over)) for place, member in enumerate(working)
        }
        # Who is to have fewer is told first.
        for member in sorted(
            self._members, key=lambda each: wanted.get(each, 1) - each.concurrency.limit
        ):
            member.concurrency.change(wanted.get(member, 1), _REASON)
