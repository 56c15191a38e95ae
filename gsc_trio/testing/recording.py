"""Recording: the answers of a run into a cassette, while it runs.

A recorder is two things: what a client gives its answers to (`Recorder.keep`), and an instrument,
which learns what became of them. A cassette has the pages that the run handed over to its store or
its callbacks, and no others: so its replay fills a database as the run did, and which answers are
in it does not depend on concurrency. Of a page that was asked for several times, it has the last
answer before that. Refusals and failures that were asked again are weather, and not kept.

Bodies are compressed in a thread and wait in a nameless file in the cassette's folder, so that
memory holds an index entry for each answer and one body for each worker. The cassette is written at
the end: under another name, then renamed. A run that is halted keeps what it has; one that is
killed leaves nothing.

Must never: harm the run (a full disk ends the recording, and `Recorder.save` says so), replace a
file, or see an access token: it is given answers, of which the headers in `KEPT_HEADERS` are kept.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import attrs
import trio

from gsc_trio.errors import StorageError, UsageError
from gsc_trio.model import Job, SearchAnalyticsQuery
from gsc_trio.telemetry.events import DayLeftOut, Event, PageCommitted, RowsMoved
from gsc_trio.testing.answers import ORIGIN_HEADER
from gsc_trio.testing.cassette import (
    IndexEntry,
    Origin,
    kept_headers,
    made_by,
    request_for,
    what_was_asked,
    write_entries,
)
from gsc_trio.testing.spliced_gzip import deflate
from gsc_trio.whole_files import written_whole

_LEVEL = 1
"""Of compression: a full page takes a third of the time of zlib's usual level, and is a quarter
larger."""


@attrs.frozen
class _Kept:
    """An answer that came in."""

    entry: IndexEntry
    origin: Origin


@attrs.define(eq=False)
class Recorder:
    """Keeps the answers of one run of one query; made by `open_recorder`."""

    path: Path
    """Where the cassette will be."""
    _spool: IO[bytes]
    _places: dict[str, tuple[int, int]] = attrs.field(factory=dict, init=False)
    """Where each body is in the spool, and how long it is there."""
    _one_at_a_time: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _answered: dict[Job, _Kept] = attrs.field(factory=dict, init=False)
    _handed_over: dict[Job, _Kept] = attrs.field(factory=dict, init=False)
    _fault: OSError | None = attrs.field(default=None, init=False)

    async def keep(
        self,
        query: SearchAnalyticsQuery,
        job: Job,
        headers: Mapping[str, str],
        content: bytes,
        rows: int,
    ) -> None:
        """Take an answer, as `gsc_trio.client.OnAnswer`."""
        if self._fault is not None:
            return
        try:
            name = await trio.to_thread.run_sync(self._store, content)
        except OSError as fault:
            self._fault = fault
            return
        request = request_for(query, job.data_date, job.start_row)
        is_simulated = headers.get(ORIGIN_HEADER) == "simulated"
        self._answered[job] = _Kept(
            IndexEntry(request, 200, kept_headers(headers), rows, name),
            "simulated" if is_simulated else "recorded",
        )

    def handle(self, event: Event) -> None:
        """Learn which answers became part of the run's result, as an instrument."""
        if isinstance(event, PageCommitted):
            self._confirm(event.page.job)
        elif isinstance(event, DayLeftOut):
            self._confirm(Job(event.data_date))
        elif isinstance(event, RowsMoved):
            kept = self._handed_over.items()
            self._handed_over = {
                job: each for job, each in kept if job.data_date != event.data_date
            }

    def _confirm(self, job: Job) -> None:
        if job in self._answered:
            self._handed_over[job] = self._answered.pop(job)

    def save(self) -> int:
        """Write the cassette; without an answer there is none to write.

        Returns:
            How many answers it has.

        Raises:
            StorageError: it could not be written, now or in mid-run; there is no cassette then.
        """
        try:
            if self._fault is not None:
                raise self._fault
            if self._handed_over:
                self._write()
        except OSError as error:
            raise StorageError(
                f"nothing was recorded: cannot write the cassette {self.path}: {error.strerror}; "
                "the run itself is not affected"
            ) from None
        return len(self._handed_over)

    def _store(self, content: bytes) -> str:
        """Put a body into the spool, once; returns its name."""
        name = hashlib.sha256(content).hexdigest()
        if name not in self._places:
            body = deflate(content, _LEVEL).as_gzip()
            with self._one_at_a_time:
                place = self._spool.seek(0, os.SEEK_END), len(body)
                self._spool.write(body)
                self._places[name] = place
        return name

    def _body(self, name: str) -> bytes:
        start, length = self._places[name]
        self._spool.seek(start)
        return self._spool.read(length)

    def _write(self) -> None:
        # The newest day first, as a backfill goes, in whatever order the answers came.
        jobs = sorted(
            self._handed_over, key=lambda job: (-job.data_date.toordinal(), job.start_row)
        )
        kept = [self._handed_over[job] for job in jobs]
        request = kept[0].entry.request
        only = f", only {' and '.join(request.filters)}" if request.filters else ""
        description = (
            f"{request.site_url}, {jobs[-1].data_date} to {jobs[0].data_date}, "
            f"{what_was_asked(request.search_type, request.dimensions)}{only}; {made_by()}"
        )
        origin: Origin = "recorded"
        if any(each.origin == "simulated" for each in kept):
            origin = "simulated"
        with written_whole(self.path) as file:
            write_entries(file, origin, description, [each.entry for each in kept], self._body)
            _refuse_existing(self.path)


@contextmanager
def open_recorder(path: str | os.PathLike[str]) -> Iterator[Recorder]:
    """Make ready to record a run; at the end all is gone but what `Recorder.save` wrote.

    Args:
        path: where the cassette will be; no file may be there.

    Raises:
        UsageError: something is there, or nothing can be written there.
    """
    path = Path(path)
    try:
        _refuse_existing(path)
        spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"cannot write the cassette {path}: {error.strerror}") from None
    try:
        yield Recorder(path, spool)
    finally:
        with suppress(OSError):  # a full disk, which has been told
            spool.close()


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "it exists; name a new file", str(path))
