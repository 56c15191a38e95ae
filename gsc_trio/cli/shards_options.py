"""What the commands about shards have in common: the database, the settings file, the extra."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gsc_trio.cli.live_settings import SettingsSources
from gsc_trio.errors import UsageError
from gsc_trio.shards.extras import require_extra
from gsc_trio.shards.plan import Shard, plan_shards
from gsc_trio.sync.targets import read_targets

if TYPE_CHECKING:
    from gsc_trio.store.postgres.address import Address

Function = TypeVar("Function", bound=Callable[..., Any])

SILENT_SECONDS = 30.0

CONFIG = "settings and [[sync]] tables, the same for every machine"
"""What the settings file has."""

database_option = click.option(
    "--db",
    "database",
    required=True,
    metavar="ADDRESS",
    help="The Postgres database, as postgresql://USER@HOST/DATABASE; a password is best left to "
    "PGPASSWORD or ~/.pgpass.",
)


def silent_option(help_text: str) -> Callable[[Function], Function]:
    """The option of how long a worker may give no sign of life."""
    return click.option(
        "--silent-seconds",
        type=click.FloatRange(1, 86_400),
        default=SILENT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help=help_text,
    )


def address_of(database: str, command: str) -> Address:
    """The database of a command.

    Raises:
        UsageError: it is none of Postgres, or what the command needs is not installed.
    """
    if "=" not in database and not database.startswith(("postgresql://", "postgres://")):
        raise UsageError(
            f"--db is {database!r}: shards need Postgres, as postgresql://USER@HOST/DATABASE; for "
            "a SQLite file there is `gsc-trio sync`"
        )
    require_extra(f"gsc-trio {command}")
    from gsc_trio.store.postgres.address import read_address  # needs psycopg

    return read_address(database)


def shards_of(config_file: Path | None) -> dict[str, Shard]:
    """The shards of the settings file.

    Raises:
        UsageError: there is no file, it has a mistake, or it lists nothing.
    """
    sources = SettingsSources(None, config_file, {})
    settings = sources.load()
    return plan_shards(read_targets(sources.file) if sources.file else [], settings)
