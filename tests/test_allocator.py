"""Free memory goes back to the system, unless the environment says otherwise."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gsc_trio.allocator import give_back_free_memory

CHILD = """
import pathlib
import resource
import sys

from gsc_trio.allocator import give_back_free_memory


def resident_bytes():
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


if "give back" in sys.argv:
    give_back_free_memory()
bytes(8_000_000)  # one that goes: from now on glibc keeps such blocks
blocks = [bytearray(4_000_000) for _ in range(40)]
for block in blocks:
    block[:] = b"x" * len(block)
before = resident_bytes()
del blocks[::2]
print(before - resident_bytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
@pytest.mark.parametrize("is_told", [True, False])
def test_large_blocks_between_others_go_back(is_told: bool) -> None:
    given_back = subprocess.run(
        [sys.executable, "-c", CHILD, "give back" if is_told else "keep"],
        env={name: value for name, value in os.environ.items() if "MALLOC" not in name},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (int(given_back) > 60_000_000) is is_told


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], [-3, -8]),
        (["MALLOC_MMAP_THRESHOLD_"], [-8]),
        (["MALLOC_ARENA_MAX"], [-3]),
        (["MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX"], []),
    ],
)
def test_what_the_environment_says_is_left_as_it_is(
    names: list[str], told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[int] = []
    library = SimpleNamespace(mallopt=lambda option, _: options.append(option))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX"):
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, "2")
    give_back_free_memory()
    assert options == told


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    give_back_free_memory()
