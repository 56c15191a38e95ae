"""The views that carry the names of BigQuery's bulk export, so that the same SQL works on both.

``searchdata_url_impression`` has what was asked for with the page dimension,
``searchdata_site_impression`` what was asked for without it. What a set of dimensions does not
have is NULL. A site that is kept with several sets of dimensions has the same clicks in each of
them: ``WHERE dimensions = 'page,query'`` keeps them apart.

Source: https://support.google.com/webmasters/answer/12917991 (tables of the bulk data export).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from sqlite_utils import Database


@attrs.frozen
class _View:
    name: str
    has_page: bool
    columns: tuple[tuple[str, str], ...]
    """A name, and the SQL for it over the table of rows and ``dataset``."""


_KEPT_BY_DATASET = ("site_url", "search_type", "dimensions")
_MEASURES = ("data_date", "impressions", "clicks", "sum_position")

_VIEWS = (
    _View(
        "searchdata_url_impression",
        has_page=True,
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
    _View(
        "searchdata_site_impression",
        has_page=False,
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
)


def create_views(database: Database, tables: Mapping[tuple[str, ...], str]) -> None:
    """Create the views over these tables; a view that is there and right already is left alone.

    Args:
        database: where they are created, in the caller's transaction.
        tables: the table of each set of dimensions.
    """
    for view in _VIEWS:
        selects = [
            _select(view, dimensions, table)
            for dimensions, table in sorted(tables.items())
            if ("page" in dimensions) == view.has_page
        ]
        sql = "\nUNION ALL\n".join(selects) or _select_nothing(view)
        database.create_view(view.name, sql, replace=True)


def _select(view: _View, dimensions: tuple[str, ...], table: str) -> str:
    columns = ", ".join(
        f"{_expression(source, dimensions)} AS {name}" for name, source in view.columns
    )
    return (
        f"SELECT {columns}\nFROM {table} AS stored JOIN dataset ON dataset.id = stored.dataset_id"
    )


def _expression(source: str, dimensions: tuple[str, ...]) -> str:
    if source in _KEPT_BY_DATASET:
        return f"dataset.{source}"
    if source in _MEASURES:
        return f"stored.{source}"
    if source not in dimensions:
        return "NULL"
    return "stored.search_appearance" if source == "searchAppearance" else f"stored.{source}"


def _select_nothing(view: _View) -> str:
    return f"SELECT {', '.join(f'NULL AS {name}' for name, _ in view.columns)} WHERE 0"
