"""Where answered pages wait for their turn: who is let in, who goes to the spill file, who is next.

The next page in line is always let in. When the sink is what is slow, the others wait outside, and
so does whoever brings them. When order is what keeps pages waiting, nobody may be held back, since
the page that all wait for may be behind another on the same socket: what has no room in memory is
spilled.

Must never: hand a page over out of its turn, or keep out the one that is next in line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trio_util import RepeatedEvent

from gsc_trio.model import Page
from gsc_trio.page_buffer import PageBuffer
from gsc_trio.spill import SpillFile


class WaitingRoom:
    """Pages by their sequence number, which is their place in line.

    Args:
        max_bytes: how much waiting pages may weigh in memory.
        spill_file: where others wait.
    """

    def __init__(self, max_bytes: int, spill_file: SpillFile) -> None:
        self._pages = PageBuffer(max_bytes, spill_file)
        self._asking: set[int] = set()
        self._changed = RepeatedEvent()
        self._is_handing_over = False
        self._next_in_line = 0

    def __len__(self) -> int:
        """How many pages wait."""
        return len(self._pages)

    @property
    def next_in_line(self) -> int:
        """The sequence number of the page to hand over next."""
        return self._next_in_line

    @property
    def bytes_in_memory(self) -> int:
        """What the pages in memory weigh, and those that are coming."""
        return self._pages.bytes_in_memory

    @property
    def pages_spilled(self) -> int:
        """Pages that ever went to the spill file."""
        return self._pages.pages_spilled

    # Coming in.

    async def reserve(self, sequence: int, content_bytes: int) -> bool:
        """Wait until there is room for a page.

        Returns:
            Whether a place was reserved; not if the page had one, or is here.

        Raises:
            StorageError: the spill file cannot be written.
        """
        if self._pages.is_expected(sequence):
            return False
        self._asking.add(sequence)
        try:
            await self._wait_for_room(sequence, content_bytes)
            self._pages.reserve(sequence, content_bytes)
        finally:
            self._asking.remove(sequence)
            self._changed.set()
        return True

    async def _wait_for_room(self, sequence: int, content_bytes: int) -> None:
        while sequence != self._next_in_line:
            if self._pages.has_room_for(content_bytes) and sequence == min(self._asking):
                return
            if not self._is_held_up_by_order:
                await self._changed.wait()
            elif not self._pages.is_over:
                return  # it goes to the spill file as soon as it is decoded
            elif (last := self._pages.last_in_memory()) is not None:
                await self._spill(last)
            else:  # others are being decoded, to be spilled then
                await self._changed.wait()

    def release(self, sequence: int) -> None:
        """The page does not come after all; or there was no place reserved for it."""
        self._pages.release(sequence)
        self._changed.set()

    def add(self, sequence: int, page: Page) -> None:
        """Let a page in, in the place that may be reserved for it."""
        self._pages.add(sequence, page)

    async def spill_without_room(self, sequence: int) -> None:
        """Spill a page that just came in, if it has no room and does not wait for the sink.

        Raises:
            StorageError: the spill file cannot be written.
        """
        if self.is_spilling:
            await self._spill(sequence)

    @property
    def is_spilling(self) -> bool:
        """Whether a page that comes in now has no room, and does not wait for the sink."""
        return self._pages.is_over and self._is_held_up_by_order

    @property
    def _is_held_up_by_order(self) -> bool:
        """Whether the sink has nothing to do, since the next page in line is not here."""
        return not (
            self._is_handing_over
            or self._pages.is_expected(self._next_in_line)
            or self._next_in_line in self._asking
        )

    async def _spill(self, sequence: int) -> None:
        await self._pages.spill(sequence)
        self._changed.set()

    # Going out.

    def in_turn(self, max_bytes: int, *, skips_gaps: bool) -> list[int]:
        """The pages to hand over now: one, and what is in memory right behind it.

        Args:
            max_bytes: how much they may weigh together; the first is never too heavy.
            skips_gaps: whether a page that is missing is not waited for any more.
        """
        if self._next_in_line in self._pages:
            first = self._next_in_line
        elif skips_gaps and self._pages:
            first = self._pages.first()
        else:
            return []
        pages, weight = [first], self._pages.bytes_of(first)
        while self._pages.is_in_memory(pages[-1] + 1):
            weight += self._pages.bytes_of(pages[-1] + 1)
            if weight > max_bytes:
                break
            pages.append(pages[-1] + 1)
        return pages

    @contextmanager
    def handing_over(self) -> Iterator[None]:
        """While the sink is at work, nobody is held up by order."""
        self._is_handing_over = True
        try:
            yield
        finally:
            self._is_handing_over = False
            self._changed.set()

    async def load(self, sequence: int) -> Page:
        """A page with its rows. It goes on weighing what it weighs until it is removed.

        Raises:
            StorageError: the spill file cannot be read.
        """
        return await self._pages.load(sequence)

    def remove(self, sequence: int) -> None:
        """Forget a page: it was handed over, and the one behind it is next in line."""
        self._pages.remove(sequence)
        self._next_in_line = sequence + 1
