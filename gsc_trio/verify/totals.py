"""A property's totals by day: the same run as a backfill's, without dimensions, into memory.

So they are fetched in batches and within the quota, retried and halted like everything else. What
is sent is recorded in the database, as every run does, and the next one counts it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.paginator import days_backwards
from gsc_trio.store.base import GrantKey, RecordedGrant, Store, StoredDay
from gsc_trio.summary import RunSummary
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.verify.judge import Totals


@attrs.define(eq=False)
class _TotalsInMemory:
    """A store that keeps totals, and has all days but the wanted ones already.

    Args:
        days: the wanted ones.
        journal: where it is recorded what was sent.
    """

    days: Collection[dt.date]
    journal: Store
    totals: dict[dt.date, Totals] = attrs.field(factory=dict, init=False)

    async def begin_run(
        self, query: SearchAnalyticsQuery, start: dt.date, end: dt.date
    ) -> Mapping[dt.date, StoredDay]:
        unwanted = (day for day in days_backwards(start, end) if day not in self.days)
        return dict.fromkeys(unwanted, StoredDay(0, is_complete=True))

    async def write_pages(
        self, query: SearchAnalyticsQuery, pages: Sequence[Page], changes: InFlightChanges
    ) -> None:
        for page in pages:
            self.totals[page.job.data_date] = Totals(
                round(sum(row.clicks for row in page.rows)),
                round(sum(row.impressions for row in page.rows)),
            )

    async def record_in_flight(self, query: SearchAnalyticsQuery, changes: InFlightChanges) -> None:
        pass

    async def recent_grants(self) -> Sequence[RecordedGrant]:
        return await self.journal.recent_grants()

    async def record_grants(
        self, grants: Sequence[RecordedGrant], *, forget: Collection[GrantKey]
    ) -> None:
        await self.journal.record_grants(grants, forget=forget)


async def fetch_totals(
    client: SearchConsole,
    store: Store,
    query: SearchAnalyticsQuery,
    days: Collection[dt.date],
    *,
    today: dt.date,
    instruments: Iterable[Instrument] = (),
    halt_switch: HaltSwitch | None = None,
) -> tuple[Mapping[dt.date, Totals], RunSummary]:
    """Fetch the totals of some days.

    Args:
        client: what is asked.
        store: where it is recorded what was sent.
        query: what asks for them, as `gsc_trio.verify.judge.totals_query` gives it.
        days: which; at least one, none older than Search Console keeps.
        today: the current date in Pacific time.
        instruments: who is told what happens.
        halt_switch: what stops it from outside.

    Returns:
        The totals, of fewer days if the run failed or was halted, and how the run went.

    Raises:
        StorageError: the store cannot say what was sent lately.
    """
    in_memory = _TotalsInMemory(frozenset(days), store)
    summary = await backfill(
        client,
        query,
        in_memory,
        start=min(days),
        end=max(days),
        # An empty day is no reason to stop here.
        settings=attrs.evolve(client.settings, empty_result_limit=None),
        instruments=instruments,
        halt_switch=halt_switch,
        today=today,
    )
    return in_memory.totals, summary
