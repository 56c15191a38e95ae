"""What an export takes of a database, and what came of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import attrs

from gsc_trio.errors import UsageError
from gsc_trio.export.dataset import Dataset, DatasetDays, read_datasets, read_days
from gsc_trio.export.source import Source

OnDay = Callable[[int, int], None]
"""Called after each day with how many are done, and how many there are."""


@attrs.frozen
class Selection:
    """What to take; what is None is not asked about."""

    site_url: str | None = None
    search_type: str | None = None
    dimensions: frozenset[str] | None = None
    """All of them, in whatever order."""
    is_filtered: bool | None = None
    """True for what was asked for with filters or another type of aggregation, False for the rest.
    """
    start: dt.date = dt.date.min
    end: dt.date = dt.date.max
    """The last day, included."""

    def takes(self, dataset: Dataset) -> bool:
        """Whether a dataset is asked for."""
        return all(
            wanted in {None, found}
            for wanted, found in (
                (self.site_url, dataset.site_url),
                (self.search_type, dataset.search_type),
                (self.dimensions, frozenset(dataset.dimensions)),
                (self.is_filtered, not dataset.is_whole),
            )
        )


@attrs.frozen
class ExportSummary:
    """What an export did."""

    days_written: int
    rows_written: int
    days_unchanged: int
    """Days that the target had already as the database has them."""
    days_incomplete: int
    """Days of which not all is stored yet: they were left out."""


@attrs.define
class Tally:
    """How far an export is."""

    days: int
    """How many there are to do."""
    days_incomplete: int
    on_day: OnDay
    days_written: int = 0
    rows_written: int = 0
    days_unchanged: int = 0

    def wrote(self, rows: int) -> None:
        """A day was written."""
        self.days_written += 1
        self.rows_written += rows
        self.on_day(self.days_written + self.days_unchanged, self.days)

    def left(self) -> None:
        """A day was left as it is."""
        self.days_unchanged += 1
        self.on_day(self.days_written + self.days_unchanged, self.days)

    def summary(self) -> ExportSummary:
        """What came of it."""
        return ExportSummary(
            self.days_written, self.rows_written, self.days_unchanged, self.days_incomplete
        )


@attrs.frozen
class ExportPlan:
    """What there is to do."""

    datasets: tuple[DatasetDays, ...]

    @property
    def days(self) -> int:
        """How many."""
        return sum(len(each.versions) for each in self.datasets)

    def tally(self, on_day: OnDay) -> Tally:
        """To count with."""
        return Tally(self.days, sum(each.days_incomplete for each in self.datasets), on_day)


def plan_export(source: Source, selection: Selection) -> ExportPlan:
    """Find what there is of a selection.

    Raises:
        UsageError: nothing.
    """
    return plan_of(source, selection.takes, selection.start, selection.end)


def plan_of(
    source: Source,
    takes: Callable[[Dataset], bool],
    start: dt.date,
    end: dt.date,
) -> ExportPlan:
    """The same for datasets that are chosen in another way."""
    chosen = [dataset for dataset in read_datasets(source.connection) if takes(dataset)]
    plan = ExportPlan(tuple(read_days(source.connection, each, start, end) for each in chosen))
    if not plan.days:
        raise UsageError(
            f"{source.name} has no complete day to export of what was asked for: "
            f"gsc-trio status --db {source.name} tells what it has"
        )
    return plan
