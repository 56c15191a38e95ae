"""A folder of Parquet files, one for each day, in Hive's layout.

::

    search_analytics_by_page_query/
      site_url=sc-domain%3Aexample.com/search_type=web/data_date=2026-01-31/rows.parquet

What is in the path is a column for DuckDB, Polars, Spark and pyarrow, so it is not in the file
again. Each set of dimensions has a folder of its own, and another one, whose name ends in
``_filtered``, for what was asked for with filters: so all files in it have the same columns, and
nobody adds up the same clicks twice. Rows are in Google's order. A file's metadata says what it
holds, and of which version of the day it was made; so an export knows which days changed, with no
other bookkeeping, and a file that is removed is written again.

Must never: let a reader see half a file.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gsc_trio.errors import UsageError
from gsc_trio.export.arrow import table_of
from gsc_trio.export.dataset import Dataset, DayContent, read_day
from gsc_trio.export.extras import load
from gsc_trio.export.plan import (
    ExportSummary,
    OnDay,
    Selection,
    plan_export,
)
from gsc_trio.export.source import opened_source
from gsc_trio.export.target import OWN_FOLDER, Existing, clear_errors, locked_folder
from gsc_trio.whole_files import move_durably

if TYPE_CHECKING:
    from gsc_trio.store.location import LocationName

FILE_NAME = "rows.parquet"

_METADATA_KEY = b"gsc-trio"

_LONGEST_NAME_BYTES = 255
"""Of a folder, on the file systems that are in use."""

_ESCAPED = re.compile(r"""[\x00-\x20"#%&'*+/:;<=>?@\\\[\]^`{|}\x7f]""")
"""Hive's escapes, and what is special in addresses. Other letters stay as they are, since Spark
does not take escaped bytes for UTF-8."""


def export_parquet(
    database: LocationName,
    folder: str | os.PathLike[str],
    selection: Selection | None = None,
    *,
    existing: Existing = Existing.REFUSE,
    on_day: OnDay = lambda done, days: None,
) -> ExportSummary:
    """Write a Parquet file for each complete day.

    Files of days that the database does not have, or has not completely, are left as they are.

    Args:
        database: where the rows are, a SQLite file or the address of a Postgres database; it may be
            in use.
        folder: where the files go; it is made if it is not there.
        selection: what to take; by default everything.
        existing: what to do with an earlier export. `Existing.UPDATE` writes the days whose pages
            were fetched again since.
        on_day: told of each day.

    Raises:
        UsageError: the folder must be left alone, or there is nothing to export. Nothing was
            changed.
        DatabaseInUseError: another export writes to the folder.
        StorageError: the database cannot be read, or a file not be written.
    """
    load("pyarrow.parquet", "Parquet")
    root = Path(folder)
    with opened_source(database) as source:
        plan = plan_export(source, selection or Selection())
        for days in plan.datasets:
            check_names(days.dataset)
        tally = plan.tally(on_day)
        with locked_folder(root, existing):
            for days in plan.datasets:
                for day, version in days.versions.items():
                    path = path_of(root, days.dataset, day)
                    if existing is Existing.UPDATE and version_of(path) == version:
                        tally.left()
                    elif (content := read_day(source.connection, days.dataset, day)) is not None:
                        write_day(root, days.dataset, day, content)
                        tally.wrote(len(content.rows))
        return tally.summary()


def write_day(root: Path, dataset: Dataset, day: dt.date, content: DayContent) -> None:
    """Write a day's file, in the place of an older one; whoever writes has the folder alone.

    Raises:
        OSError: it cannot be written; the older one is still there.
    """
    parquet = load("pyarrow.parquet", "Parquet")
    facts = {
        **dataset.names,
        "dimensions": dataset.dimensions,
        "data_date": day.isoformat(),
        "version": content.version,
        # Nearly always 0, 1, 2, … and then left out.
        "row_numbers": None if isinstance(content.row_numbers, range) else content.row_numbers,
    }
    table = table_of(dataset, content.rows)
    table = table.replace_schema_metadata({_METADATA_KEY: json.dumps(facts)})
    # Not beside the file, where some readers would stumble over what a killed process left.
    partial = root / OWN_FOLDER / "partial"
    parquet.write_table(table, partial, compression="zstd")
    move_durably(partial, path_of(root, dataset, day))


def version_of(path: Path) -> str | None:
    """Of which version of the day a file was made; None if it is not there, or not one of ours."""
    pyarrow, parquet = load("pyarrow", "Parquet"), load("pyarrow.parquet", "Parquet")
    try:
        version: str = _facts_of(parquet.read_metadata(path).metadata)["version"]
    except (OSError, pyarrow.ArrowInvalid, KeyError, TypeError, ValueError):
        return None
    return version


def read_file(path: Path) -> DayContent:
    """The content of a file of which `version_of` told the version.

    Raises:
        StorageError: it cannot be read.
    """
    parquet = load("pyarrow.parquet", "Parquet")
    with clear_errors(path):
        table = parquet.ParquetFile(path).read()
    facts = _facts_of(table.schema.metadata)
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    row_numbers = facts["row_numbers"]
    return DayContent(
        facts["version"], rows, range(len(rows)) if row_numbers is None else row_numbers
    )


def _facts_of(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(metadata[_METADATA_KEY])
    return facts


def path_of(root: Path, dataset: Dataset, day: dt.date) -> Path:
    """Where the file of a day is."""
    return root.joinpath(dataset.name, *_folders(dataset), f"data_date={day}", FILE_NAME)


def check_names(dataset: Dataset) -> None:
    """Refuse a dataset that no folder can be named after.

    Raises:
        UsageError: its property's name, or its filters, are too long.
    """
    for name, value in dataset.names.items():
        if len(os.fsencode(f"{name}={_escaped(value)}")) > _LONGEST_NAME_BYTES:
            raise UsageError(
                f"{value} is too long for a folder's name: keep it in SQLite, and export to CSV "
                "or DuckDB"
            )


def _folders(dataset: Dataset) -> Iterator[str]:
    for name, value in dataset.names.items():
        # An empty name is no folder for Spark; Hive's own word for it is one for all.
        yield f"{name}={_escaped(value) or '__HIVE_DEFAULT_PARTITION__'}"


def _escaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)
