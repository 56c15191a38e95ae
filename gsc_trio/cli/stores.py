"""What a backfill can write to, by the names that ``--store`` has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from gsc_trio.store.parquet import ledger_of, open_parquet_store
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store

OpenStore = Callable[..., AbstractAsyncContextManager[SqliteStore]]

STORES: Mapping[str, OpenStore] = {"sqlite": open_sqlite_store, "parquet": open_parquet_store}
"""Each takes a path, and ``wait``."""


def database_at(path: Path) -> Path:
    """The database that tells what is stored at a path: a folder of Parquet files has one."""
    return ledger_of(path) if ledger_of(path).is_file() else path
