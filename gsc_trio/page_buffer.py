"""Answered pages that wait for their turn: in memory up to a limit, in a spill file beyond it.

Only bookkeeping: `gsc_trio.waiting_room` decides who waits, and which page is next.
"""

from __future__ import annotations

from gsc_trio.model import Page
from gsc_trio.spill import SpilledPage, SpillFile


class PageBuffer:
    """Pages by their sequence number.

    Args:
        max_bytes: how much pages in memory may weigh before `is_over` says so.
        spill_file: where `spill` puts them.
    """

    def __init__(self, max_bytes: int, spill_file: SpillFile) -> None:
        self._max_bytes = max_bytes
        self._spill_file = spill_file
        self._pages: dict[int, Page | SpilledPage] = {}
        self._reserved: dict[int, int] = {}
        self.bytes_in_memory = 0
        """What the pages in memory weigh by the length of their JSON, and those that are coming."""
        self.pages_spilled = 0
        """Pages that ever went to the spill file."""

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._pages

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def is_over(self) -> bool:
        """Whether the pages in memory weigh more than they may."""
        return self.bytes_in_memory > self._max_bytes

    def has_room_for(self, content_bytes: int) -> bool:
        """Whether another page can wait in memory."""
        return self.bytes_in_memory + content_bytes <= self._max_bytes

    def is_expected(self, sequence: int) -> bool:
        """Whether a page is here, or has a place reserved."""
        return sequence in self._pages or sequence in self._reserved

    def is_in_memory(self, sequence: int) -> bool:
        """Whether a page is here, and not in the spill file."""
        return isinstance(self._pages.get(sequence), Page)

    def bytes_of(self, sequence: int) -> int:
        """What a page that waits weighs."""
        page = self._pages[sequence]
        return (page if isinstance(page, Page) else page.page).content_bytes

    def first(self) -> int:
        """The lowest sequence number that waits."""
        return min(self._pages)

    def last_in_memory(self) -> int | None:
        """The highest sequence number that waits in memory, if any does."""
        in_memory = (number for number, page in self._pages.items() if isinstance(page, Page))
        return max(in_memory, default=None)

    def reserve(self, sequence: int, content_bytes: int) -> None:
        """Count a page that is about to come."""
        self._reserved[sequence] = content_bytes
        self.bytes_in_memory += content_bytes

    def release(self, sequence: int) -> None:
        """It does not come after all; or there was no place reserved for it."""
        self.bytes_in_memory -= self._reserved.pop(sequence, 0)

    def add(self, sequence: int, page: Page) -> None:
        """Let a page wait, in memory at first, in the place that may be reserved for it."""
        self.release(sequence)
        self._pages[sequence] = page
        self.bytes_in_memory += page.content_bytes

    async def load(self, sequence: int) -> Page:
        """A page with its rows. It goes on weighing what it weighs until it is removed.

        Raises:
            StorageError: the spill file cannot be read.
        """
        page = self._pages[sequence]
        if isinstance(page, SpilledPage):
            page = await self._spill_file.read(page)
            self.add(sequence, page)
        return page

    def remove(self, sequence: int) -> None:
        """Forget a page: it was handed over."""
        page = self._pages.pop(sequence)
        if isinstance(page, SpilledPage):
            self._spill_file.discard(page)
        else:
            self.bytes_in_memory -= page.content_bytes

    async def spill(self, sequence: int) -> None:
        """Move a page out of memory; that it is handed over meanwhile does no harm.

        Raises:
            StorageError: the spill file cannot be written; the page stays in memory.
        """
        page = self._pages[sequence]
        if not isinstance(page, Page):
            return
        spilled = await self._spill_file.write(page)
        if self._pages.get(sequence) is page:
            self._pages[sequence] = spilled
            self.bytes_in_memory -= page.content_bytes
            self.pages_spilled += 1
        else:
            self._spill_file.discard(spilled)
