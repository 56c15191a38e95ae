"""The front door: plan a range of days, run it on the path that the settings ask for, sum it up.

`fetch_all` gives pages to callbacks, `backfill` to a store; the second is the first with the
ledger's help. ``max_concurrency=1`` takes the sequential path, everything else the coordinator; so
does a run whose concurrency may be changed, with whatever it begins.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import trio

from gsc_trio.auto_concurrency import AutoConcurrency
from gsc_trio.client import SearchConsole
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.coordinator import open_coordinator
from gsc_trio.dates import check_range, last_final_day, pacific_today
from gsc_trio.delivery import Delivery, OnComplete, OnPage
from gsc_trio.errors import GscTrioError
from gsc_trio.fetcher import Fetcher
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt, SearchAnalyticsQuery
from gsc_trio.paginator import EmptyDays, plan_jobs
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.retry import RetryPolicy
from gsc_trio.sequential import SequentialRun
from gsc_trio.spill import SpillFile
from gsc_trio.store.base import NoStore, Store
from gsc_trio.summary import RunMeter, RunSummary
from gsc_trio.telemetry.events import ConcurrencyChanged, HaltFinished, RunFinished, RunStarted
from gsc_trio.telemetry.instrument import Instrument, Instruments
from gsc_trio.worker import WorkerPool


async def fetch_all(
    client: SearchConsole,
    query: SearchAnalyticsQuery,
    *,
    start: dt.date,
    end: dt.date,
    settings: Settings | None = None,
    concurrency: Concurrency | None = None,
    on_page: OnPage | None = None,
    on_complete: OnComplete | None = None,
    instruments: Iterable[Instrument] = (),
    halt_switch: HaltSwitch | None = None,
    today: dt.date | None = None,
) -> RunSummary:
    """Fetch every row of a range of days and hand the pages to callbacks.

    Callbacks are called one at a time, and in the same order for every ``max_concurrency``: the
    newest day first, second pages after all first pages. While one is busy, fetching goes on
    until its limits are reached.

    Args:
        client: what is asked.
        query: what is asked for.
        start: the first day, in Pacific time.
        end: the last day, included.
        settings: concurrency and limits; by default the client's.
        concurrency: how many workers there are, if that is to be changed while they work. It goes
            before what the settings say; with 1 there is one worker, not the sequential loop.
        on_page: gets each `Page`.
        on_complete: gets each `Day` after its last page; a `Halt` that it returns stops the run.
        instruments: who is told what happens.
        halt_switch: what stops the run from outside.
        today: the current date in Pacific time, if it is not what the clock says.

    Returns:
        Totals and status. A refusal by Google or a service that is down does not raise: the
        status says ``failed`` and the reason why.

    Raises:
        UsageError: a range of days that cannot have data.
        Exception: whatever a callback raises; the run is stopped first.
    """
    return await backfill(
        client,
        query,
        NoStore(),
        start=start,
        end=end,
        settings=settings,
        concurrency=concurrency,
        on_page=on_page,
        on_complete=on_complete,
        instruments=instruments,
        halt_switch=halt_switch,
        today=today,
    )


async def backfill(
    client: SearchConsole,
    query: SearchAnalyticsQuery,
    store: Store,
    *,
    start: dt.date,
    end: dt.date,
    settings: Settings | None = None,
    concurrency: Concurrency | None = None,
    on_page: OnPage | None = None,
    on_complete: OnComplete | None = None,
    instruments: Iterable[Instrument] = (),
    halt_switch: HaltSwitch | None = None,
    spill: SpillFile | None = None,
    journal: QuotaJournal | None = None,
    today: dt.date | None = None,
) -> RunSummary:
    """Bring a range of days into a store; what is there already is not fetched again.

    Args:
        client: what is asked.
        query: what is asked for.
        store: where pages are committed, each with its ledger entry in one transaction.
        start: the first day, in Pacific time.
        end: the last day, included.
        settings: concurrency and limits; by default the client's.
        concurrency: how many workers there are, if that is to be changed while they work. It goes
            before what the settings say; with 1 there is one worker, not the sequential loop.
        on_page: gets each `Page` after its commit.
        on_complete: gets each `Day` after its last commit; a `Halt` that it returns stops the run.
        instruments: who is told what happens.
        halt_switch: what stops the run from outside.
        spill: where pages wait that have no room in memory; by default a temporary file.
        journal: where queries are written down before they leave, if several runs share one; who
            made it restores and closes it.
        today: the current date in Pacific time, if it is not what the clock says.

    Returns:
        Totals and status. Neither a refusal by Google nor a storage fault in mid-run raises: the
        status says ``failed`` and the reason why; what was committed stays.

    Raises:
        UsageError: a range of days that cannot have data.
        StorageError: the store cannot say what is there.
        Exception: whatever a callback raises; the run is stopped first.
    """
    today = today or pacific_today()
    check_range(start, end, today, is_hourly=query.is_hourly)
    settings = settings or client.settings
    switch = halt_switch or HaltSwitch()
    meter = RunMeter()
    is_sequential = concurrency is None and settings.max_concurrency == 1
    concurrency = concurrency or Concurrency(settings.max_concurrency)
    # It comes last, since whoever it makes a change with is told of that at once.
    automatic = AutoConcurrency(concurrency, client.limiter, client.user, query.site_url)
    telemetry = Instruments([meter, *instruments, automatic])
    stored = await store.begin_run(query, start, end)
    plan = plan_jobs(stored, start, end)
    delivery = Delivery(
        query,
        store,
        EmptyDays(settings.empty_result_limit, end, stored),
        telemetry,
        last_final_day=last_final_day(today),
        on_page=on_page,
        on_complete=on_complete,
    )
    own_journal = None
    if journal is None:
        journal = own_journal = QuotaJournal(store, client.limiter)
        await own_journal.restore()
    fetcher = Fetcher(client, query, journal, telemetry)
    retry_policy = RetryPolicy(
        query.site_url, client.user, settings, concurrency, client.limiter, telemetry
    )
    days_stored = tuple(day for day, there in stored.items() if there.is_complete)
    telemetry.handle(RunStarted(query.site_url, start, end, len(plan), days_stored))
    if concurrency.limit != settings.initial_concurrency:
        workers = settings.initial_concurrency, concurrency.limit
        telemetry.handle(ConcurrencyChanged(*workers, "the run was given another number"))
    started_at = trio.current_time()
    try:
        if is_sequential:
            await SequentialRun(plan, delivery, fetcher, retry_policy, settings, switch).run()
        else:
            async with open_coordinator(
                plan,
                delivery,
                settings=settings,
                concurrency=concurrency,
                halt_switch=switch,
                instruments=telemetry,
                spill=spill,
            ) as coordinator:
                await WorkerPool(
                    coordinator, fetcher, retry_policy, settings, concurrency, telemetry
                ).run()
    except BaseException as cause:
        # Whatever reason came first counts; the concurrent path has told its own by now.
        status = "failed" if isinstance(cause, Exception) else "interrupted"
        switch.request(Halt(f"the run was ended by {cause!r}", status=status, error=cause))
        raise
    finally:
        if own_journal is not None:
            began = min(switch.requested_at, trio.current_time())
            await own_journal.close(deadline=began + settings.grace_seconds)
        _tell_end(telemetry, switch, started_at)
    if switch.halt is not None and switch.halt.status == "failed":
        error = switch.halt.error
        if error is not None and not isinstance(error, GscTrioError):
            raise error
    return meter.summary(query.site_url, start, end, switch.halt)


def _tell_end(telemetry: Instruments, switch: HaltSwitch, started_at: float) -> None:
    now, halt = trio.current_time(), switch.halt
    if halt is not None:
        telemetry.handle(HaltFinished(halt, now - switch.requested_at))
    status, reason = (halt.status, halt.reason) if halt is not None else ("complete", "")
    telemetry.handle(RunFinished(status, reason, now - started_at))
