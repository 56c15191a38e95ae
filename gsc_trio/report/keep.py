"""Keeping what is known of a run in its database, when it is over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from gsc_trio.config import Settings
from gsc_trio.errors import StorageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.report.record import RunRecord, to_json
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.store.base import RecordedRun, StoredDay
from gsc_trio.summary import RunSummary


class RecordStore(Protocol):
    """Where records are kept; a `gsc_trio.store.database.Database` is one."""

    async def stored_days(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        """The days of which there is anything, as `begin_run` gives them."""

    async def record_run(self, run: RecordedRun) -> int:
        """Remember a run that is over; returns its number."""


async def keep_record(
    recorder: RunRecorder,
    summary: RunSummary,
    query: SearchAnalyticsQuery,
    settings: Settings,
    store: RecordStore,
    tell: Callable[[str], None],
) -> RunRecord:
    """Put together what is known of a run, and store it; if that fails, it is told and no more.

    Args:
        recorder: what watched the run.
        summary: the run's.
        query: what was asked for.
        settings: those that it ran with.
        store: where its pages went.
        tell: says a line; it is called in a thread.
    """
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
        await trio.to_thread.run_sync(tell, f"the run is not recorded: {failure}")
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
