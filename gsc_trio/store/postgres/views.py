"""The views in Postgres, with the names, columns and rows of `gsc_trio.store.views`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from gsc_trio.store.schema import column_of
from gsc_trio.store.views import VIEWS, View

_TYPES = {
    "data_date": "date",
    "impressions": "bigint",
    "clicks": "bigint",
    "sum_position": "double precision",
}
"""Of columns that are not text. A view's columns keep their types for ever, so each has one even
where there is nothing in it."""

_OF_DATASET = ("site_url", "search_type", "dimensions", "aggregation_type", "filters")


def create_views(
    connection: psycopg.Connection[tuple[Any, ...]], tables: Mapping[tuple[str, ...], str]
) -> None:
    """Create the views over these tables.

    Args:
        connection: in the caller's transaction.
        tables: the table of each set of dimensions.
    """
    for view in VIEWS:
        selects = [
            _select(view, dimensions, table)
            for dimensions, table in sorted(tables.items())
            if view.takes(dimensions)
        ]
        sql = "\nUNION ALL\n".join(selects) or _select_nothing(view)
        connection.execute(f"CREATE OR REPLACE VIEW {view.name} AS {sql}")


def _select(view: View, dimensions: tuple[str, ...], table: str) -> str:
    columns = ", ".join(
        f"{_expression(source, dimensions)} AS {name}" for name, source in view.columns
    )
    sql = f"SELECT {columns}\nFROM {table} AS stored JOIN dataset ON dataset.id = stored.dataset_id"
    return f"{sql}\nWHERE {view.datasets}" if view.datasets else sql


def _expression(source: str, dimensions: tuple[str, ...]) -> str:
    if source in _OF_DATASET:
        return f"dataset.{source}"
    if source in _TYPES or source in dimensions:
        return f"stored.{column_of(source)}"
    return _null(source)


def _select_nothing(view: View) -> str:
    columns = ", ".join(f"{_null(source)} AS {name}" for name, source in view.columns)
    return f"SELECT {columns} WHERE false"


def _null(source: str) -> str:
    text = _TYPES.get(source)
    return f"CAST(NULL AS {text})" if text else 'CAST(NULL AS text) COLLATE "C"'
