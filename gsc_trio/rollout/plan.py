"""What a rollout is to do: its stages as data, where their databases are, what they cost.

Each stage fetches into a database of its own, so that nothing is measured that was there already.
The second one's is the user's: PATH. The others lie in a folder beside it, ``PATH.rollout``.
"""

from __future__ import annotations

import datetime as dt
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import attrs

from gsc_trio.access import TokenSource
from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.paginator import days_backwards
from gsc_trio.store.connection import check_database

PREFLIGHT_QUERIES = 2
"""The list of sites, and the newest day's first page."""

HIGHEST_CONCURRENCY = 5
"""Where the playbook's stages end."""

MINIMUM_DAYS = 20
"""Fewer give five workers too little to do for a speed-up, or a middle of the run, to be seen."""

DRILL_ROUNDS = 6
"""How many batches each worker has in the drill, about."""


@attrs.frozen
class Stage:
    """A step of the rollout: a run with so many workers, judged before the next one begins."""

    name: str
    """What its gates and its database are called after."""
    title: str
    concurrency: int
    is_sample: bool
    """Whether it fetches the baseline's days only, rather than all."""


BASELINE = Stage("baseline", "Stage 1: the sequential loop", 1, is_sample=True)
THREE = Stage("concurrency-3", "Stage 3: three workers", 3, is_sample=False)
FIVE = Stage("concurrency-5", "Stage 5: five workers", HIGHEST_CONCURRENCY, is_sample=True)
DRILL = Stage(
    "drill",
    "Drill: halted, resumed and dropped to one worker in mid-run",
    HIGHEST_CONCURRENCY,
    is_sample=True,
)

STAGES = (BASELINE, THREE, FIVE, DRILL)
"""In their order; each begins when all gates before it have passed."""


@attrs.frozen
class Rehearsal:
    """That it is not Google who answers."""

    latency_scale: float
    """What Google's latency is multiplied by; every figure that is a time depends on it."""


@attrs.frozen
class RolloutRequest:
    """What a rollout is to do, once it is found to be right.

    Args:
        query: what is asked for.
        end: the newest day.
        days: how many days up to it.
        baseline_days: how many of the newest of them the baseline, stage 5 and the drill fetch.
        today: the current date in Pacific time.
        settings: of all stages, but for the concurrency.
        database: the user's.
        rehearsal: set when it is the fake that answers.
        credentials: what gives access tokens, if the settings have none.
    """

    query: SearchAnalyticsQuery
    end: dt.date
    days: int
    baseline_days: int
    today: dt.date
    settings: Settings
    database: Path
    rehearsal: Rehearsal | None = None
    credentials: TokenSource | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.days < MINIMUM_DAYS:
            raise UsageError(
                f"a rollout of {self.days:,} days shows nothing: use {MINIMUM_DAYS} or more"
            )
        if not MINIMUM_DAYS <= self.baseline_days <= self.days:
            raise UsageError(
                f"a baseline of {self.baseline_days:,} days: use {MINIMUM_DAYS} to {self.days:,}, "
                "the days of the whole rollout"
            )

    @property
    def folder(self) -> Path:
        """Where the other databases and the report are."""
        return self.database.with_name(f"{self.database.name}.rollout")

    @property
    def start(self) -> dt.date:
        """The oldest day."""
        return self.end - dt.timedelta(days=self.days - 1)

    def days_of(self, stage: Stage) -> Sequence[dt.date]:
        """What a stage fetches, the newest day first."""
        count = self.baseline_days if stage.is_sample else self.days
        return list(days_backwards(self.end - dt.timedelta(days=count - 1), self.end))

    def database_of(self, stage: Stage) -> Path:
        """Where a stage writes."""
        return self.database if stage is THREE else self.folder / f"{stage.name}.db"

    def settings_of(self, stage: Stage) -> Settings:
        """A stage's settings: the user's, with its concurrency.

        The drill's batches are small enough for each worker to have several, so that there is a
        middle of the run to halt in and to drop in.
        """
        batch_size = self.settings.batch_size
        if stage is DRILL:
            batches = DRILL_ROUNDS * stage.concurrency
            batch_size = min(batch_size, math.ceil(self.baseline_days / batches))
        return attrs.evolve(self.settings, max_concurrency=stage.concurrency, batch_size=batch_size)

    def queries(self, pages_per_day: int) -> int:
        """About how many queries all stages send, preflight included.

        Args:
            pages_per_day: of a day in the middle.
        """
        days = sum(len(self.days_of(stage)) for stage in STAGES)
        drill = self.settings_of(DRILL)
        asked_again_after_the_halt = min(self.baseline_days, drill.batch_size * DRILL.concurrency)
        return PREFLIGHT_QUERIES + days * pages_per_day + asked_again_after_the_halt


def check_paths(request: RolloutRequest, *, fresh: bool) -> None:
    """Refuse to mix this rollout with an earlier one; nothing is changed.

    Args:
        request: what the rollout is to do.
        fresh: whether an earlier one's folder may be removed.

    Raises:
        UsageError: the database cannot be written, the folder of an earlier rollout is there, or
            something that no rollout has put into it.
    """
    check_database(request.database, create=True, read_only=False)
    folder = request.folder
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder: give another --db")
    if not fresh:
        raise UsageError(
            f"{folder} is there from an earlier rollout: --fresh removes it and begins anew, which "
            "spends its queries again; or give another --db"
        )
    strangers = sorted(path.name for path in folder.iterdir() if not _is_ours(path.name))
    if strangers:
        raise UsageError(
            f"{folder} holds {strangers[0]}, which no rollout has put there: nothing was removed; "
            "give another --db"
        )


def make_folder(request: RolloutRequest) -> None:
    """Make the rollout's folder, in the place of an earlier rollout's.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        if request.folder.exists():
            shutil.rmtree(request.folder)
        request.folder.mkdir()
    except OSError as error:
        raise UsageError(f"{request.folder} cannot be made anew: {error.strerror}") from None


def _is_ours(name: str) -> bool:
    """Whether it is a stage's database, with its log and lock, or a report."""
    return name.startswith(("report.", *(f"{stage.name}.db" for stage in STAGES)))
