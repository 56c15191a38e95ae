"""Where pages wait that have no room in memory: a temporary file.

Space is taken at the end and given back when the last page has left; a run can spill no more pages
than may be in flight.
"""

from __future__ import annotations

import tempfile

import attrs
import msgspec
import trio

from gsc_trio.errors import StorageError
from gsc_trio.model import Page, Row
from gsc_trio.scratch_file import ScratchFile

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Row])


@attrs.frozen
class SpilledPage:
    """A page without its rows, and where in the file they are."""

    page: Page
    offset: int
    length: int


class SpillFile:
    """The file; made when it is first needed.

    Raises:
        StorageError: the folder for temporary files is full or cannot be written.
    """

    def __init__(self) -> None:
        self._file = ScratchFile()
        self._one_thread = trio.CapacityLimiter(1)
        """The first write makes the file: two at once would make two."""
        self._end = 0
        self._pages = 0
        """Pages in the file or on their way to it; the file is emptied only when there are none."""

    async def write(self, page: Page) -> SpilledPage:
        """Put a page into the file."""
        content = _encoder.encode(page.rows)
        spilled = SpilledPage(attrs.evolve(page, rows=[], prepared=None), self._end, len(content))
        self._end += len(content)
        self._pages += 1
        try:
            await trio.to_thread.run_sync(
                self._file.write, content, spilled.offset, limiter=self._one_thread
            )
        except BaseException as error:
            self.discard(spilled)
            if not isinstance(error, OSError):
                raise
            raise StorageError(
                f"cannot write {len(content):,} bytes to a temporary file in "
                f"{tempfile.gettempdir()}: {error.strerror}; free space there, or raise "
                "max_waiting_bytes"
            ) from error
        return spilled

    async def read(self, spilled: SpilledPage) -> Page:
        """Get a page back; it leaves the file."""
        try:
            content = await trio.to_thread.run_sync(
                self._file.read, spilled.offset, spilled.length, limiter=self._one_thread
            )
        except OSError as error:
            raise StorageError(f"cannot read a temporary file: {error.strerror}") from error
        self.discard(spilled)
        return attrs.evolve(spilled.page, rows=_decoder.decode(content))

    def discard(self, spilled: SpilledPage) -> None:
        """Forget a page."""
        self._pages -= 1
        if self._pages == 0:
            self._end = 0
            self._file.clear()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
