"""The C library's memory allocator, told to give back what is free.

An answer of 25,000 rows is a block of 5 MB, and hundreds of them come and go. glibc takes such a
block from the system and gives it back; but once it has seen one go, it keeps blocks of that size
in the heap, one heap for each thread, and what lies between two that are in use stays resident.
Told once how large a block has to be to come from the system, it keeps to that (Source: mallopt(3),
``M_MMAP_THRESHOLD`` and ``M_ARENA_MAX``). Ten workers on the fullest property then take a sixth
less memory, and no more time; see playbook/PERFORMANCE.md.
"""

from __future__ import annotations

import ctypes
import os

LARGE_BLOCK_BYTES = 1_000_000
"""From here on a block comes from the system, and goes back there."""

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def give_back_free_memory() -> None:
    """Tell the allocator, for the whole process; before it begins threads.

    What the environment says (``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_ARENA_MAX``) is left as it is.
    Where the C library is not glibc, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
    if "MALLOC_ARENA_MAX" not in os.environ:
        mallopt(_M_ARENA_MAX, 1)
