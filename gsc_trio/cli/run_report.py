"""What is kept of a run at its end, and the page about it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import attrs
import trio

from gsc_trio.cli.display import Display
from gsc_trio.config import Settings
from gsc_trio.errors import StorageError, UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.report.file import check_page_file, write_page
from gsc_trio.report.record import RunRecord, to_json
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.store.base import RecordedRun
from gsc_trio.store.database import Database
from gsc_trio.summary import RunSummary


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
    from gsc_trio.report.page import render  # noqa: PLC0415 - loading what draws takes a second

    write_page(path, render(record))


async def keep_record(
    recorder: RunRecorder,
    summary: RunSummary,
    query: SearchAnalyticsQuery,
    settings: Settings,
    store: Database,
    display: Display,
) -> RunRecord:
    """Put together what is known of a run, and store it; if that fails, it is told and no more."""
    stored, failure = None, None
    try:
        stored = await store.stored_days(query, summary.start, summary.end)
    except StorageError as error:
        failure = error
    record = recorder.record(summary, query, settings, stored)
    try:
        if failure is None:
            await store.record_run(_as_run(record))
    except StorageError as error:
        failure = error
    if failure is not None:
        await trio.to_thread.run_sync(display.tell, f"the run is not recorded: {failure}")
    return record


def _as_run(record: RunRecord) -> RecordedRun:
    return RecordedRun(
        site_url=record.summary.site,
        search_type=record.search_type,
        dimensions=record.dimensions,
        status=record.summary.status,
        started_at=record.started_at,
        duration_seconds=record.summary.duration_seconds,
        record=to_json(record),
    )
