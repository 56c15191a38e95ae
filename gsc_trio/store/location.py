"""Where a database is: a path, or the address of a Postgres database.

psycopg is loaded for an address only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gsc_trio.errors import UsageError

if TYPE_CHECKING:
    from gsc_trio.store.postgres.address import Address

    Location = Path | Address
    """A file or folder, or a Postgres database."""

    LocationName = str | os.PathLike[str] | Address
    """The same, as people write it."""

SCHEMES = ("postgresql://", "postgres://")
"""What an address begins with."""


def read_location(name: LocationName) -> Location:
    """Read a path or an address.

    Raises:
        UsageError: it is an address that cannot be understood, or psycopg is missing.
    """
    if isinstance(name, str) and name.startswith(SCHEMES):
        _check_psycopg()
        from gsc_trio.store.postgres.address import read_address  # noqa: PLC0415 - needs psycopg

        return read_address(name)
    return Path(name) if isinstance(name, str | os.PathLike) else name


def _check_psycopg() -> None:
    try:
        import psycopg  # noqa: F401, PLC0415
    except ImportError as error:
        raise UsageError(
            f"a Postgres database needs psycopg ({error}): pip install 'gsc-trio[postgres]'"
        ) from None
