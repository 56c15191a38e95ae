"""The views; two carry the names of BigQuery's bulk export, so that the same SQL works on both.

``searchdata_url_impression`` has what was asked for with the page dimension,
``searchdata_site_impression`` what was asked for without it. What a set of dimensions does not
have is NULL. A site that is kept with several sets of dimensions has the same clicks in each of
them: ``WHERE dimensions = 'page,query'`` keeps them apart.

What BigQuery's export does not have is in views of its own, lest it be counted twice there:
``filtered_impression`` has what was asked for with filters or another type of aggregation, and
``hourly_impression`` what came by the hour.

Source: https://support.google.com/webmasters/answer/12917991 (tables of the bulk data export).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from sqlite_utils import Database


@attrs.frozen
class View:
    """A view, over every table that it takes."""

    name: str
    takes: Callable[[tuple[str, ...]], bool]
    """Whether it has the rows of a set of dimensions."""
    datasets: str
    """A condition on ``dataset``, or an empty text for all."""
    columns: tuple[tuple[str, str], ...]
    """A name, and the SQL for it over the table of rows and ``dataset``."""


_KEPT_BY_DATASET = ("site_url", "search_type", "dimensions", "aggregation_type", "filters")
_MEASURES = ("data_date", "impressions", "clicks", "sum_position")

WHOLE = "dataset.filters = '' AND dataset.aggregation_type = 'auto'"
"""A condition on datasets: all of a property, counted as Google does by itself."""

_EVERYTHING = (
    ("data_date", "data_date"),
    ("site_url", "site_url"),
    ("url", "page"),
    ("query", "query"),
    ("country", "country"),
    ("device", "device"),
    ("search_appearance", "searchAppearance"),
    ("search_type", "search_type"),
    ("impressions", "impressions"),
    ("clicks", "clicks"),
    ("sum_position", "sum_position"),
    ("dimensions", "dimensions"),
    ("filters", "filters"),
    ("aggregation_type", "aggregation_type"),
)

VIEWS = (
    View(
        "searchdata_url_impression",
        takes=lambda dimensions: "page" in dimensions and "hour" not in dimensions,
        datasets=WHOLE,
        columns=(
            ("data_date", "data_date"),
            ("site_url", "site_url"),
            ("url", "page"),
            ("query", "query"),
            ("country", "country"),
            ("device", "device"),
            ("search_type", "search_type"),
            ("impressions", "impressions"),
            ("clicks", "clicks"),
            ("sum_position", "sum_position"),
            ("dimensions", "dimensions"),
        ),
    ),
    View(
        "searchdata_site_impression",
        takes=lambda dimensions: not {"page", "hour"} & {*dimensions},
        datasets=WHOLE,
        columns=(
            ("data_date", "data_date"),
            ("site_url", "site_url"),
            ("query", "query"),
            ("country", "country"),
            ("device", "device"),
            ("search_type", "search_type"),
            ("impressions", "impressions"),
            ("clicks", "clicks"),
            ("sum_top_position", "sum_position"),
            # BigQuery has a boolean column for each kind of appearance; the API names it.
            ("search_appearance", "searchAppearance"),
            ("dimensions", "dimensions"),
        ),
    ),
    View(
        "filtered_impression",
        takes=lambda dimensions: "hour" not in dimensions,
        datasets=f"NOT ({WHOLE})",
        columns=_EVERYTHING,
    ),
    View(
        "hourly_impression",
        takes=lambda dimensions: "hour" in dimensions,
        datasets="",
        columns=(_EVERYTHING[0], ("hour", "hour"), *_EVERYTHING[1:]),
    ),
)


def create_views(database: Database, tables: Mapping[tuple[str, ...], str]) -> None:
    """Create the views over these tables; a view that is there and right already is left alone.

    Args:
        database: where they are created, in the caller's transaction.
        tables: the table of each set of dimensions.
    """
    for view in VIEWS:
        selects = [
            _select(view, dimensions, table)
            for dimensions, table in sorted(tables.items())
            if view.takes(dimensions)
        ]
        sql = "\nUNION ALL\n".join(selects) or _select_nothing(view)
        database.create_view(view.name, sql, replace=True)


def _select(view: View, dimensions: tuple[str, ...], table: str) -> str:
    columns = ", ".join(
        f"{_expression(source, dimensions)} AS {name}" for name, source in view.columns
    )
    sql = f"SELECT {columns}\nFROM {table} AS stored JOIN dataset ON dataset.id = stored.dataset_id"
    return f"{sql}\nWHERE {view.datasets}" if view.datasets else sql


def _expression(source: str, dimensions: tuple[str, ...]) -> str:
    if source in _KEPT_BY_DATASET:
        return f"dataset.{source}"
    if source in _MEASURES:
        return f"stored.{source}"
    if source not in dimensions:
        return "NULL"
    return "stored.search_appearance" if source == "searchAppearance" else f"stored.{source}"


def _select_nothing(view: View) -> str:
    return f"SELECT {', '.join(f'NULL AS {name}' for name, _ in view.columns)} WHERE 0"
