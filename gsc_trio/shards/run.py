"""One shard's run: take its lease, bring its properties up to date, tell how it went.

Taking the lease ends whatever another process may still be doing with the shard: from then on its
commits are refused, and with them its queries, since each is written down before it is sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import attrs
import trio
from trio_util import periodic

from gsc_trio.access import TokenSource
from gsc_trio.client import open_search_console, user_of
from gsc_trio.dates import pacific_today
from gsc_trio.errors import FencedError, StorageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.shards.board import Board, ShardProgress
from gsc_trio.shards.plan import Shard
from gsc_trio.shards.store import ShardStore
from gsc_trio.shards.worker import ShardOutcome
from gsc_trio.store.postgres.address import Address
from gsc_trio.store.postgres.leases import take_lease
from gsc_trio.store.postgres.store import open_postgres_store
from gsc_trio.sync.run import GOOD, TargetResult, sync
from gsc_trio.telemetry.events import (
    DayCompleted,
    Event,
    PageCommitted,
    PropertyFinished,
    RequestSent,
)
from gsc_trio.telemetry.instrument import Instrument

TELL_SECONDS = 5.0
"""How often a run tells how far it is."""

OpenInstruments = Callable[[Shard], AbstractAsyncContextManager[Sequence[Instrument]]]
"""Opens what is told what happens in a shard's run."""


@attrs.define(eq=False)
class ShardMeter:
    """An instrument that counts for the board."""

    progress: ShardProgress

    def handle(self, event: Event) -> None:
        """Count."""
        progress = self.progress
        match event:
            case RequestSent(queries=queries):
                self.progress = attrs.evolve(progress, queries=progress.queries + queries)
            case PageCommitted(page=page):
                self.progress = attrs.evolve(progress, rows=progress.rows + len(page.rows))
            case DayCompleted():
                self.progress = attrs.evolve(progress, days=progress.days + 1)
            case PropertyFinished(status=status) if status in GOOD:
                self.progress = attrs.evolve(progress, targets_done=progress.targets_done + 1)
            case _:
                pass


@attrs.frozen
class ShardRunner:
    """Works on shards, each in a trio run of its own.

    Args:
        address: the database.
        worker: the name of this process.
        shards: what there is to work on.
        credentials: what gives access tokens for each of them.
        open_instruments: who else is told what happens.
        tell: says to whoever watches what happens.
    """

    address: Address
    worker: str
    shards: Mapping[str, Shard]
    credentials: Mapping[str, TokenSource | None] = attrs.field(repr=False)
    open_instruments: OpenInstruments
    tell: Callable[[str], None]

    async def run(self, name: str, halt_switch: HaltSwitch) -> ShardOutcome:
        """Work on a shard until it is done, halted or taken over."""
        shard = self.shards.get(name)
        targets = len(shard.targets) if shard is not None else 0
        meter = ShardMeter(ShardProgress(targets))
        try:
            fence = await take_lease(self.address.conninfo, name, self.worker)
            board = Board(self.address, name, fence.token, self.worker)
            if shard is None:
                outcome = ShardOutcome("failed", "it is not in the settings file of this machine")
            else:
                await trio.to_thread.run_sync(board.tell, meter.progress)
                self.tell(f"shard {name}: begun, token {fence.token}")
                async with open_postgres_store(self.address.conninfo, fence=fence) as store:
                    credentials = self.credentials[name]
                    shard_store = ShardStore(store, user_of(credentials), frozenset(shard.sites))
                    async with telling(board, meter):
                        results = await self._sync(shard, shard_store, halt_switch, meter)
                outcome = outcome_of(results, shard_store, meter.progress)
                good = sum(result.status in GOOD for result in results)
                meter.progress = attrs.evolve(meter.progress, targets_done=good)
        except* FencedError:
            outcome = ShardOutcome("taken over", "taken over by another worker at once")
        except* StorageError as errors:
            outcome = ShardOutcome("no database", _first_words(errors))
        else:
            with suppress(StorageError):  # its worker tells it, too
                await trio.to_thread.run_sync(
                    board.tell, meter.progress, outcome.status, outcome.text
                )
        return outcome

    async def _sync(
        self, shard: Shard, store: ShardStore, halt_switch: HaltSwitch, meter: ShardMeter
    ) -> Sequence[TargetResult]:
        async with self.open_instruments(shard) as more:
            instruments = [meter, *more]
            async with open_search_console(
                shard.settings,
                credentials=self.credentials[shard.name],
                instruments=instruments,
            ) as client:
                return await sync(
                    store,
                    shard.targets,
                    client,
                    today=pacific_today(),
                    halt_switch=halt_switch,
                    instruments=instruments,
                )


@asynccontextmanager
async def telling(board: Board, meter: ShardMeter) -> AsyncIterator[None]:
    """Tell how far a run is, until the body ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_telling, board, meter)
        yield
        nursery.cancel_scope.cancel()


async def _keep_telling(board: Board, meter: ShardMeter) -> None:
    async for _ in periodic(TELL_SECONDS):
        with suppress(StorageError):  # the store will say so, if it is the same
            await trio.to_thread.run_sync(board.tell, meter.progress)


def _first_words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def outcome_of(
    results: Sequence[TargetResult], store: ShardStore, progress: ShardProgress
) -> ShardOutcome:
    """What a run came to."""
    counts = f"{progress.days:,} days, {progress.rows:,} rows, {progress.queries:,} queries"
    if store.is_taken_over:
        return ShardOutcome("taken over", f"taken over by another worker, after {counts}")
    if store.error is not None:
        return ShardOutcome("no database", f"{store.error}, after {counts}")
    bad = [result for result in results if result.status not in GOOD]
    if any(result.status == "interrupted" for result in bad):
        return ShardOutcome("interrupted", f"interrupted, after {counts}")
    if bad:
        first = bad[0]
        return ShardOutcome(
            "failed",
            f"{len(bad):,} of {len(results):,} failed, the first of them "
            f"{first.query.site_url}: {first.reason or first.status}; {counts}",
        )
    return ShardOutcome("complete", f"complete: {counts}")
