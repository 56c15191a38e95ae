"""A CSV file, for spreadsheets and everything else: the one export that needs no other library.

Rows are those of one set of dimensions, all or filtered, from whatever sites and search types are
asked for. The file is UTF-8, texts are in quotes, and a missing position is an empty field.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_trio.errors import UsageError
from gsc_trio.export.dataset import read_day
from gsc_trio.export.plan import (
    ExportPlan,
    ExportSummary,
    OnDay,
    Selection,
    plan_export,
)
from gsc_trio.export.source import opened_source
from gsc_trio.export.target import Existing, check_file, replaced_file
from gsc_trio.store.schema import dimensions_as_text

if TYPE_CHECKING:
    from gsc_trio.store.location import LocationName


def export_csv(
    database: LocationName,
    target: str | os.PathLike[str],
    selection: Selection | None = None,
    *,
    existing: Existing = Existing.REFUSE,
    on_day: OnDay = lambda done, days: None,
) -> ExportSummary:
    """Write a CSV file with a header: date, site, search type, dimensions, clicks, impressions.

    Args:
        database: where the rows are, a SQLite file or the address of a Postgres database.
        target: the file; it appears when it is complete.
        selection: what to take; by default everything.
        existing: what to do with a file that is there. A CSV file cannot be updated.
        on_day: told of each day.

    Raises:
        UsageError: the target must be left alone, or there are several sets of dimensions to
            choose from. Nothing was changed.
        StorageError: the database cannot be read, or the file not be written.
    """
    target = Path(target)
    if existing is Existing.UPDATE:
        raise UsageError("a CSV file cannot be updated: --overwrite it, or export to Parquet")
    with opened_source(database) as source:
        check_file(target, source.file, existing)
        plan = plan_export(source, selection or Selection())
        _check_dimensions(plan, source.name)
        tally = plan.tally(on_day)
        with (
            replaced_file(target, source.file, existing) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            # Texts are always quoted: a lone carriage return would not be otherwise.
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            first = plan.datasets[0].dataset
            writer.writerow(("data_date", *first.names, *first.columns))
            for days in plan.datasets:
                names = days.dataset.names.values()
                for day in days.versions:
                    content = read_day(source.connection, days.dataset, day)
                    if content is not None:
                        writer.writerows((day, *names, *row) for row in content.rows)
                        tally.wrote(len(content.rows))
        return tally.summary()


def _check_dimensions(plan: ExportPlan, database: str) -> None:
    found = {days.dataset.name: days.dataset for days in plan.datasets}
    if len(found) > 1:
        names = " and ".join(
            (dimensions_as_text(dataset.dimensions) or "date")
            + ("" if dataset.is_whole else ", filtered,")
            for dataset in found.values()
        )
        raise UsageError(
            f"{database} has rows by {names}: a CSV file holds one of these, since the same "
            "clicks are in each; choose by --dimensions, --filtered or --unfiltered"
        )
