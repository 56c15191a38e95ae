"""Verify the datasets of a database, one after another.

Sets of dimensions of the same site and search type have the same totals, or one of them if they are
counted by page, so those are fetched once. What fails for one site leaves its days without totals
and does not stop the others.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import attrs

from gsc_trio.dates import oldest_day
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.audit import AuditedDay
from gsc_trio.store.database import Database
from gsc_trio.summary import RunSummary
from gsc_trio.verify.judge import DayVerdict, Totals, is_comparable, judge, totals_query

DAYS_AT_ONCE = 10
"""So many days are counted in one transaction, which a signal has to wait for."""

FetchTotals = Callable[
    [SearchAnalyticsQuery, Collection[dt.date]],
    Awaitable[tuple[Mapping[dt.date, Totals], RunSummary]],
]
"""Gets the totals of some days, as `gsc_trio.verify.totals.fetch_totals` does."""


@attrs.frozen
class DatasetReport:
    """What was found out about one dataset."""

    query: SearchAnalyticsQuery
    days: Sequence[DayVerdict]
    """Oldest first."""
    reason: str = ""
    """Why there are no totals for all of its days, where that was not to be expected."""

    @property
    def defects(self) -> int:
        """Days with a defect."""
        return sum(day.is_defect for day in self.days)

    def days_to_fetch_again(self, today: dt.date) -> Sequence[dt.date]:
        """Days that are not as they should be, and that Search Console still has.

        Args:
            today: the current date in Pacific time.
        """
        oldest = oldest_day(today)
        return [
            day.data_date
            for day in self.days
            if (day.is_defect or day.rows_shifted) and day.data_date >= oldest
        ]

    @property
    def verdicts(self) -> Counter[str]:
        """How many days have each verdict."""
        return Counter(day.verdict for day in self.days)


async def verify(
    store: Database,
    queries: Sequence[SearchAnalyticsQuery],
    fetch: FetchTotals | None,
    *,
    today: dt.date,
    start: dt.date = dt.date.min,
    end: dt.date = dt.date.max,
    halt_switch: HaltSwitch | None = None,
) -> Sequence[DatasetReport]:
    """Count and judge.

    Args:
        store: the database.
        queries: which datasets.
        fetch: gets totals; None to compare rows with the ledger only.
        today: the current date in Pacific time.
        start: the first day to look at.
        end: the last one.
        halt_switch: what stops it from outside; then the reports so far are given.

    Raises:
        StorageError: the database cannot be read.
    """
    reports: list[DatasetReport] = []
    groups: dict[SearchAnalyticsQuery, list[SearchAnalyticsQuery]] = defaultdict(list)
    for query in queries:
        groups[totals_query(query)].append(query)
    for asks_for_totals, group in groups.items():
        audits = [await _audit(store, query, start, end, halt_switch) for query in group]
        totals: Mapping[dt.date, Totals] = {}
        reason = ""
        wanted = _days_to_ask_for(group, audits, today)
        if fetch is not None and wanted and not _is_halted(halt_switch):
            totals, summary = await fetch(asks_for_totals, wanted)
            reason = "" if summary.status == "complete" else summary.reason
        for query, audit in zip(group, audits, strict=True):
            days = [judge(day, query, totals.get(day.data_date)) for day in audit]
            reports.append(DatasetReport(query, days, reason))
        if _is_halted(halt_switch):
            break
    return reports


async def _audit(
    store: Database,
    query: SearchAnalyticsQuery,
    start: dt.date,
    end: dt.date,
    halt_switch: HaltSwitch | None,
) -> Sequence[AuditedDay]:
    days = [day for day in await store.days_with_anything(query) if start <= day <= end]
    audited: list[AuditedDay] = []
    for first in range(0, len(days), DAYS_AT_ONCE):
        if not _is_halted(halt_switch):
            audited += await store.audit(query, days[first : first + DAYS_AT_ONCE])
    return audited


def _days_to_ask_for(
    queries: Sequence[SearchAnalyticsQuery], audits: Sequence[Sequence[AuditedDay]], today: dt.date
) -> set[dt.date]:
    """Days whose totals say something, and that Search Console still has."""
    oldest = oldest_day(today)
    return {
        day.data_date
        for query, audit in zip(queries, audits, strict=True)
        for day in audit
        if is_comparable(query)
        and day.is_final
        and day.is_complete
        and oldest <= day.data_date <= today
    }


def _is_halted(halt_switch: HaltSwitch | None) -> bool:
    return halt_switch is not None and halt_switch.halt is not None
