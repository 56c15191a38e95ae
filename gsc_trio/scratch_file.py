"""A temporary file without a name, for what has no room in memory.

It has no name so that even a killed process leaves nothing behind.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array


class ScratchFile:
    """The file; made when it is first written to, given back when nobody has this object any more.

    All methods block, and those that touch the file raise `OSError`.
    """

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._finalizer: weakref.finalize[[], ScratchFile] | None = None

    def write(self, content: bytes | array[int], offset: int) -> None:
        """Write all of something at a place."""
        if self._descriptor is None:
            file = tempfile.TemporaryFile(prefix="gsc-trio-")  # noqa: SIM115 - stays open
            self._descriptor = file.fileno()
            self._finalizer = weakref.finalize(self, file.close)
        view = memoryview(content).cast("B")
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def read(self, offset: int, length: int) -> bytes:
        """What was written at a place."""
        if self._descriptor is None:
            raise RuntimeError("nothing was written")
        return os.pread(self._descriptor, length, offset)

    def clear(self) -> None:
        """Give the space back."""
        if self._descriptor is not None:
            os.truncate(self._descriptor, 0)

    def close(self) -> None:
        """Give the file back."""
        if self._finalizer is not None:
            self._finalizer()
        self._descriptor = None
