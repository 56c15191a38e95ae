"""What happens to a page in its turn: the store, the callbacks, and whether the run goes on.

Both paths hand their pages over through here, in FIFO order, so whatever
depends on order (the database, callbacks, `empty_result_limit`) is the same for both.
"""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import attrs
import trio

from gsc_trio.model import Day, FetchAgain, Halt, InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.paginator import EmptyDays
from gsc_trio.store.base import PreparesPages, Store
from gsc_trio.telemetry.events import (
    DayCompleted,
    DayLeftOut,
    PageCommitted,
    RowsMoved,
    TransactionCommitted,
)
from gsc_trio.telemetry.instrument import Instruments

T = TypeVar("T")

OnPage = Callable[[Page], Awaitable[None] | None]
"""Gets every page in its turn; a plain function or an async one."""

OnComplete = Callable[[Day], Awaitable[Halt | None] | Halt | None]
"""Gets every day when its last page was handed over; a `Halt` that it returns stops the run."""


@attrs.define(eq=False)
class Delivery:
    """Hands pages to a store, then to callbacks.

    Args:
        query: whose pages they are.
        store: where pages are committed.
        empty_days: what watches for the old end of the property's history.
        instruments: who is told.
        last_final_day: the newest day whose data is sure to be final.
        on_page: called with each page, after it is committed.
        on_complete: called with each day, after its last page is committed.
    """

    query: SearchAnalyticsQuery
    store: Store
    empty_days: EmptyDays
    instruments: Instruments
    last_final_day: dt.date
    on_page: OnPage | None = None
    on_complete: OnComplete | None = None
    _moved: set[dt.date] = attrs.field(factory=set, init=False)
    """Days whose pages do not fit together, until their last one comes."""

    @property
    def takes_several(self) -> bool:
        """Whether pages may share a transaction: a callback is to know of a page before the next.

        It may halt the run, or fail; no page is to be committed that it is never told of.
        """
        return self.on_page is None and self.on_complete is None

    async def prepare(self, page: Page) -> Page:
        """Let the store do what it can before the page's turn, and others run between its steps."""
        if not isinstance(self.store, PreparesPages):
            return page
        steps = self.store.prepare_in_steps(self.query, page)
        while (prepared := next(steps)) is None:
            await trio.lowlevel.checkpoint()
        return prepared

    async def deliver(
        self, pages: Sequence[Page], changes: InFlightChanges
    ) -> Halt | FetchAgain | None:
        """Commit pages and call back.

        Returns:
            Why the run must stop after them, if it must, or else which days to begin again.
        """
        to_write = [page for page in pages if not self._is_not_final_yet(page)]
        # Google leaves such days out: in the ledger they would pass for days without data.
        left_out = [page.job for page in pages if self._is_not_final_yet(page)]
        if left_out:
            taken = tuple(pair for pair in changes.taken if pair[0] not in left_out)
            changes = InFlightChanges(returned=(*changes.returned, *left_out), taken=taken)
        if to_write:
            began = trio.current_time()
            moved = await self.store.write_pages(self.query, to_write, changes)
            self._moved.update(moved or ())
            rows = sum(len(page.rows) for page in to_write)
            seconds = trio.current_time() - began
            self.instruments.handle(TransactionCommitted(len(to_write), rows, seconds))
        else:
            await self.record_in_flight(changes)
        # After its last page, lest pages of the first attempt come between those of the second.
        ended = {page.job.data_date for page in pages if not page.is_full}
        again = FetchAgain(tuple(sorted(ended & self._moved, reverse=True)))
        halts = [await self._tell(page) for page in pages]
        self._moved -= ended
        return next(filter(None, halts), again if again.days else None)

    async def _tell(self, page: Page) -> Halt | None:
        if self._is_not_final_yet(page):
            self.instruments.handle(DayLeftOut(page.job.data_date))
            return None
        self.instruments.handle(PageCommitted(page))
        if self.on_page is not None:
            await _result_of(self.on_page(page))
        halt = None
        if not page.is_full and page.job.data_date in self._moved:
            self.instruments.handle(RowsMoved(page.job.data_date))
        elif not page.is_full:
            day = Day(page.job.data_date, rows=page.job.start_row + len(page.rows))
            self.instruments.handle(DayCompleted(day))
            if self.on_complete is not None:
                halt = await _result_of(self.on_complete(day))
        return halt or self.empty_days.note(page)

    async def record_in_flight(self, changes: InFlightChanges) -> None:
        """Keep the store's copy of the in-flight registry up to date."""
        await self.store.record_in_flight(self.query, changes)

    def _is_not_final_yet(self, page: Page) -> bool:
        is_fresh = page.job.data_date > self.last_final_day
        return is_fresh and not page.rows and self.query.data_state == "final"


async def _result_of(result: Awaitable[T] | T) -> T:
    return await result if inspect.isawaitable(result) else result
