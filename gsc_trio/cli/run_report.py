"""The page about a run."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import attrs

from gsc_trio.errors import UsageError
from gsc_trio.report.file import check_page_file, write_page
from gsc_trio.report.record import RunRecord


@attrs.define
class RunReport:
    """The page that a backfill was asked for.

    Args:
        path: where it is to be; the page of an earlier run is replaced.
        database: the file that the run writes to, if it is one.

    Raises:
        UsageError: the page could not be made or written. Nothing was changed.
    """

    path: Path
    database: Path | None
    record: RunRecord | None = None
    """What there is to show, once the run is over."""

    def __attrs_post_init__(self) -> None:
        check_can_render()
        self._check_file()

    def write(self) -> None:
        """Make the page, if the run has begun at all.

        Raises:
            UsageError: something else was put there while it ran.
            StorageError: it cannot be written.
        """
        if self.record is not None:
            self._check_file()
            render_to(self.path, self.record)

    def _check_file(self) -> None:
        check_page_file(self.path, self.database, replaces="page")


def check_can_render() -> None:
    """Refuse to begin what would fail at its end for want of a package.

    Raises:
        UsageError: the packages that draw are missing.
    """
    if find_spec("matplotlib") is None or find_spec("jinja2") is None:
        raise UsageError("a report needs more packages: pip install 'gsc-trio[report]'")


def render_to(path: Path, record: RunRecord) -> None:
    """Make the page of a run and write it to a file."""
    from gsc_trio.report.page import render  # loading what draws takes a second

    write_page(path, render(record))
