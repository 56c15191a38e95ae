"""The spill file: what goes in comes out, from a real file, by many at once."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import time
from contextlib import closing
from types import SimpleNamespace
from typing import IO

import pytest
import trio

from gsc_trio.errors import StorageError
from gsc_trio.model import Job, Page, Row
from gsc_trio.page_buffer import PageBuffer
from gsc_trio.spill import SpilledPage, SpillFile


def page_of(number: int, rows: int) -> Page:
    job = Job(dt.date(2026, 1, 1) + dt.timedelta(days=number))
    content = [Row(keys=(f"{number}", "é\n'"), clicks=row, position=None) for row in range(rows)]
    return Page(job, content, 25_000, 1_000)


async def test_pages_written_by_many_at_once_come_back_whole() -> None:
    pages = [page_of(number, rows=number % 7 * 50) for number in range(40)]
    spilled: dict[int, SpilledPage] = {}

    async def write(number: int) -> None:
        spilled[number] = await spill.write(pages[number])
        assert spilled[number].page.rows == []

    with closing(SpillFile()) as spill:
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(write, number)
        for number in reversed(range(40)):
            assert await spill.read(spilled[number]) == pages[number]


async def test_the_first_pages_of_many_share_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files = []

    def make_slowly(prefix: str) -> IO[bytes]:
        file = tempfile.TemporaryFile(prefix=prefix)  # noqa: SIM115 - the spill file closes it
        files.append(file)
        time.sleep(0.02)
        return file

    monkeypatch.setattr(
        "gsc_trio.scratch_file.tempfile", SimpleNamespace(TemporaryFile=make_slowly)
    )
    with closing(SpillFile()) as spill:
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(spill.write, page_of(number, 5))
    assert len(files) == 1


async def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write_little(descriptor: int, content: memoryview, offset: int) -> int:
        return pwrite(descriptor, content[:7], offset)

    pwrite = os.pwrite
    monkeypatch.setattr("gsc_trio.scratch_file.os.pwrite", write_little)
    with closing(SpillFile()) as spill:
        assert await spill.read(await spill.write(page_of(0, 50))) == page_of(0, 50)


async def test_a_page_that_is_handed_over_while_it_is_spilled_stays_away() -> None:
    class SlowSpillFile(SpillFile):
        async def write(self, page: Page) -> SpilledPage:
            spilled = await super().write(page)
            buffer.remove(7)
            return spilled

    with closing(SlowSpillFile()) as spill:
        buffer = PageBuffer(1, spill)
        buffer.add(7, page_of(0, 5))
        await buffer.spill(7)
        assert 7 not in buffer
        assert (buffer.bytes_in_memory, buffer.pages_spilled) == (0, 0)
        assert (await SpillFile.write(spill, page_of(1, 5))).offset == 0


async def test_space_is_given_back_when_the_last_page_has_left() -> None:
    with closing(SpillFile()) as spill:
        first, second = [await spill.write(page_of(number, 5)) for number in range(2)]
        await spill.read(first)
        assert (await spill.write(page_of(2, 5))).offset > second.offset
        spill.discard(second)
        spill.discard(second)
        assert (await spill.write(page_of(3, 5))).offset == 0


async def test_a_folder_without_room_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gsc_trio.scratch_file.os.pwrite", no_space)
    with closing(SpillFile()) as spill:
        with pytest.raises(StorageError, match="No space left on device; free space there"):
            await spill.write(page_of(0, 5))
        monkeypatch.undo()
        assert (await spill.write(page_of(1, 5))).offset == 0
