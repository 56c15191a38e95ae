"""``--record FILE``: a run's answers into a cassette."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gsc_trio.cli.output import tell
from gsc_trio.errors import UsageError

if TYPE_CHECKING:
    from gsc_trio.testing import Recorder

record_option = click.option(
    "--record",
    "record_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the answers in a new file, for gsc-trio fake-server --cassette FILE; no token, no "
    "account. It has what this run fetches, so begin with a new database to have all.",
)


@contextmanager
def recording(path: Path | None, database: Path | None) -> Iterator[Recorder | None]:
    """Record what the body runs, if there is a file to record to, and tell what became of it.

    Raises:
        UsageError: the cassette cannot be written there; nothing was changed.
        StorageError: it could not be written after all; the run itself is as it would have been.
    """
    if path is None:
        yield None
        return
    from gsc_trio.testing import open_recorder  # few runs need the testing kit

    if database is not None and path.absolute() == database.absolute():
        raise UsageError(f"--record and --db are the same file, {path}: name another")
    with open_recorder(path) as recorder:
        try:
            yield recorder
        finally:
            answers = recorder.save()
            tell(
                f"recorded {answers:,} answers in {path}"
                if answers
                else f"nothing was fetched, so there is nothing to record in {path}"
            )
