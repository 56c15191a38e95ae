"""Where a command's data is: what ``--db`` may be, and the store that it opens.

An SQLite file, a folder of Parquet files, or the address of a Postgres database. psycopg is loaded
for an address only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.database import Database
from gsc_trio.store.location import SCHEMES, read_location
from gsc_trio.store.parquet import ledger_of, open_parquet_store
from gsc_trio.store.sqlite import open_sqlite_store

if TYPE_CHECKING:
    from gsc_trio.store.location import Location

OpenStore = Callable[..., AbstractAsyncContextManager[Database]]

STORES: Mapping[str, OpenStore] = {"sqlite": open_sqlite_store, "parquet": open_parquet_store}
"""What a backfill can write to at a path, by the names that ``--store`` has for them. Each takes a
path, and ``wait``."""


class LocationType(click.ParamType):  # type: ignore[type-arg] # before click 8.4 it took none
    """A path, or an address of a Postgres database."""

    name = "location"

    def convert(
        self, value: str | Location, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        """Read what was given.

        Raises:
            UsageError: it is an address that cannot be understood, or psycopg is missing.
        """
        return read_location(value)


class PathOnly(click.Path):
    """A path, for commands that cannot work with a Postgres database."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Read what was given.

        Raises:
            UsageError: it is an address.
        """
        if str(value).startswith(SCHEMES):
            command = ctx.info_name if ctx is not None else "this command"
            raise UsageError(f"{command} cannot work with a Postgres database: name an SQLite file")
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment, arg-type]
        return path


def open_database(
    location: Location, *, create: bool = True, read_only: bool = False
) -> AbstractAsyncContextManager[Database]:
    """Open what ``--db`` names, for commands that do not care what it is.

    Args:
        location: a path, or an address.
        create: make a file if there is none. In Postgres the tables are made if need be.
        read_only: change nothing.
    """
    if isinstance(location, Path):
        return open_sqlite_store(location, create=create, read_only=read_only)
    from gsc_trio.store.postgres.store import open_postgres_store  # needs psycopg

    return open_postgres_store(location.conninfo, read_only=read_only)


@asynccontextmanager
async def open_to_fill(
    location: Location,
    kind: str,
    queries: Collection[SearchAnalyticsQuery] = (),
    *,
    wait: bool = False,
) -> AsyncIterator[Database]:
    """Open what a run writes to.

    Args:
        location: a path, or an address.
        kind: what a path is: one of `STORES`.
        queries: whose data nobody else may write in Postgres. A file has one writer anyway, and
            in Postgres others are found in use when their run begins.
        wait: when another process writes there, wait until it has ended.

    Raises:
        UsageError: the two do not go together.
        DatabaseInUseError: another process writes there, and ``wait`` is not set.
    """
    if isinstance(location, Path):
        async with STORES[kind](location, wait=wait) as store:
            yield store
        return
    if kind != "sqlite":
        raise UsageError(f"--store {kind} writes to a folder: leave it out, or name one with --db")
    from gsc_trio.store.postgres.store import open_postgres_store

    async with open_postgres_store(location.conninfo) as postgres:
        if queries:
            await postgres.hold(queries, wait=wait)
        yield postgres


def database_at(location: Location) -> Location:
    """What tells what is stored at a location: a folder of Parquet files has a database in it."""
    if isinstance(location, Path) and ledger_of(location).is_file():
        return ledger_of(location)
    return location


def is_there(location: Location) -> bool:
    """Whether there may be anything; of a Postgres database only opening it tells."""
    return not isinstance(location, Path) or location.exists()


def file_of(location: Location) -> Path | None:
    """The file that must not be written over, if it is one."""
    return location if isinstance(location, Path) else None
