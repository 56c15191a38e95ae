"""The rollout itself: preflight, then stage after stage, until one does not pass its gates.

All stages share one client and so one rate limiter: the quota is held over the whole rollout, not
run by run. Whatever stops it, every database is left as its last commit left it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import attrs
import httpx
import trio
from trio_util import move_on_when

from gsc_trio.backfill import backfill
from gsc_trio.client import SearchConsole, open_search_console
from gsc_trio.concurrency import Concurrency
from gsc_trio.halt import HaltSwitch
from gsc_trio.rate_limiter import WINDOW_SECONDS
from gsc_trio.report.keep import keep_record
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.rollout.comparison import Reference
from gsc_trio.rollout.drill import drill
from gsc_trio.rollout.findings import Findings
from gsc_trio.rollout.gates import failed_names, judge_stage
from gsc_trio.rollout.measurement import StageMeter
from gsc_trio.rollout.plan import BASELINE, DRILL, STAGES, RolloutRequest, Stage, make_folder
from gsc_trio.rollout.preflight import Preflight, check_everything
from gsc_trio.rollout.wording import check_line, verdict_line
from gsc_trio.store.lock import lock_database
from gsc_trio.store.sqlite import SqliteStore, open_sqlite_store
from gsc_trio.summary import RunMeter, RunSummary
from gsc_trio.telemetry.events import ConcurrencyChanged, Event, RunStarted
from gsc_trio.telemetry.instrument import Instrument, Instruments

Watch = Callable[[], AbstractAsyncContextManager[Sequence[Instrument]]]
"""Opens what is told how a run is going."""


async def run_rollout(
    request: RolloutRequest,
    findings: Findings,
    *,
    interruption: HaltSwitch,
    watch: Watch,
    tell: Callable[[str], None],
    transport: httpx.AsyncBaseTransport | None = None,
) -> None:
    """Run a rollout as far as its gates let it.

    Args:
        request: what to do.
        findings: is filled in on the way.
        interruption: what stops it from outside; the stage that runs is halted with it.
        watch: opened around each run.
        tell: says what happens, a line at a time; it is called in a thread.
        transport: what to send through instead of the network.

    Raises:
        UsageError: the folder cannot be made.
        DatabaseInUseError: another rollout with the same paths is under way.
        StorageError: a database cannot be opened, read or closed.
    """
    watching = Instruments()
    async with (
        _locked(request),
        open_search_console(
            request.settings,
            credentials=request.credentials,
            instruments=[watching],
            transport=transport,
        ) as client,
    ):
        reference = Reference(
            request.database_of(BASELINE), request.query, request.days_of(BASELINE)
        )
        rollout = _Rollout(
            request, findings, client, watching, interruption, watch, tell, reference
        )
        if not await rollout.is_ready(transport):
            return
        await trio.to_thread.run_sync(make_folder, request)
        findings.has_begun = True
        for stage in STAGES:
            await rollout.run(stage)
            if findings.interruption or failed_names(findings):
                return


@asynccontextmanager
async def _locked(request: RolloutRequest) -> AsyncIterator[None]:
    """Keep other rollouts out of the folder, which one of them might remove."""
    lock = await trio.to_thread.run_sync(lock_database, request.folder)
    try:
        yield
    finally:
        lock.release()


@attrs.frozen
class _StageConcurrency:
    """Tells the number of workers of a stage to those who know no more than the settings."""

    watching: Instruments
    request: RolloutRequest
    stage: Stage

    def handle(self, event: Event) -> None:
        set_to = self.request.settings.initial_concurrency
        if isinstance(event, RunStarted) and self.stage.concurrency != set_to:
            reason = f"the rollout's stage {self.stage.name}"
            self.watching.handle(ConcurrencyChanged(set_to, self.stage.concurrency, reason))


@attrs.define(eq=False)
class _Rollout:
    request: RolloutRequest
    findings: Findings
    client: SearchConsole
    watching: Instruments
    """Who watches the run that is under way."""
    interruption: HaltSwitch
    watch: Watch
    tell: Callable[[str], None]
    reference: Reference
    preflight: Preflight = attrs.field(factory=Preflight)
    sent: RunMeter = attrs.field(factory=RunMeter)
    """Counts the queries of all stages together."""

    async def is_ready(self, transport: httpx.AsyncBaseTransport | None) -> bool:
        """Whether everything that can be known beforehand is good."""
        checks = check_everything(self.request, self.client, self.preflight, transport=transport)
        async with move_on_when(self.interruption.requested.wait):
            async for check in checks:
                self.findings.checks.append(check)
                await self._say(check_line(check))
        self._note_interruption()
        return not (self.findings.interruption or failed_names(self.findings))

    async def run(self, stage: Stage) -> None:
        """Run a stage, compare what it stored, judge it."""
        await self._wait_for_quota(stage)
        self._note_interruption()
        if self.findings.interruption:
            return
        days = len(self.request.days_of(stage))
        await self._say(f"{stage.title}, {days:,} days into {self.request.database_of(stage)}")
        await self._measure(stage)
        if self.findings.measurements[stage.name].status == "complete":
            await self._compare(stage)
        self._note_interruption()
        if not self.findings.interruption:
            for verdict in judge_stage(stage, self.findings):
                await self._say(verdict_line(verdict))

    async def _measure(self, stage: Stage) -> None:
        settings = self.request.settings_of(stage)
        async with open_sqlite_store(self.request.database_of(stage)) as store:
            meter = StageMeter()
            if stage is DRILL:
                summary, self.findings.drill = await drill(
                    partial(self._backfill, stage, store, meter),
                    days=len(self.request.days_of(stage)),
                    width=stage.concurrency,
                )
            else:
                summary = await self._backfill(stage, store, meter, None, HaltSwitch(), None)
        self.findings.measurements[stage.name] = meter.measurement(
            summary,
            concurrency=stage.concurrency,
            batch_size=settings.batch_size,
            peak_queries_per_minute=self.sent.peak_queries_per_minute,
        )

    async def _backfill(
        self,
        stage: Stage,
        store: SqliteStore,
        meter: StageMeter,
        instrument: Instrument | None,
        halt_switch: HaltSwitch,
        concurrency: Concurrency | None,
    ) -> RunSummary:
        """Run a stage's days, or what is left of them."""
        days, recorder = self.request.days_of(stage), RunRecorder()
        query, settings = self.request.query, self.request.settings_of(stage)
        async with self.watch() as shown, self._halted_with_the_rollout(halt_switch):
            told: list[Instrument] = [meter, self.sent, recorder, *shown]
            if instrument is not None:
                told.append(instrument)
            with self.watching.also(*told):
                summary = await backfill(
                    self.client,
                    query,
                    store,
                    start=days[-1],
                    end=days[0],
                    settings=settings,
                    # Last, since the others are to know of the run first.
                    instruments=[
                        self.watching,
                        _StageConcurrency(self.watching, self.request, stage),
                    ],
                    halt_switch=halt_switch,
                    concurrency=concurrency,
                    today=self.request.today,
                )
        await keep_record(recorder, summary, query, settings, store, self.tell)
        return summary

    async def _compare(self, stage: Stage) -> None:
        if stage is BASELINE:
            return
        async with move_on_when(self.interruption.requested.wait):
            self.findings.comparisons[stage.name] = await trio.to_thread.run_sync(
                self.reference.compare, self.request.database_of(stage), abandon_on_cancel=True
            )

    async def _wait_for_quota(self, stage: Stage) -> None:
        """Have the whole quota for a stage if it needs more than is left: it would be slow."""
        wanted = len(self.request.days_of(stage)) * self.preflight.pages_per_day
        limit = self.request.settings.queries_per_minute
        if self.sent.queries_in_last_minute() + min(wanted, limit) > limit:
            await self._say(
                f"waiting for {WINDOW_SECONDS:.0f} s, so that the next stage has all of the quota"
            )
            with trio.move_on_after(WINDOW_SECONDS):
                await self.interruption.requested.wait()

    @asynccontextmanager
    async def _halted_with_the_rollout(self, halt_switch: HaltSwitch) -> AsyncIterator[None]:
        async def pass_on() -> None:
            await self.interruption.requested.wait()
            if self.interruption.halt is not None:
                halt_switch.request(self.interruption.halt)
            await self.interruption.hurried.wait()
            halt_switch.hurry()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pass_on)
            yield
            nursery.cancel_scope.cancel()

    def _note_interruption(self) -> None:
        if self.interruption.halt is not None:
            self.findings.interruption = self.interruption.halt.reason

    async def _say(self, text: str) -> None:
        await trio.to_thread.run_sync(self.tell, text)
