"""What stores do of a page before its turn: see `gsc_trio.store.base.PreparesPages`.

Rows are prepared by an iterator that gives None after each step, and at last what was made of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

import attrs

from gsc_trio.errors import StorageError
from gsc_trio.model import Page

T = TypeVar("T")


def page_in_steps(page: Page, steps: Iterator[object | None]) -> Iterator[Page | None]:
    """The same with the page at last, which has what was made, or nothing if that cannot be."""
    prepared = None
    with suppress(StorageError, ValueError, OverflowError):  # told when it is the page's turn
        for prepared in steps:
            if prepared is None:
                yield None
    yield attrs.evolve(page, prepared=prepared)


def at_once(steps: Iterator[T | None]) -> T:
    """What is made, without others in between."""
    for made in steps:
        if made is not None:
            return made
    raise AssertionError("the last step gives something")
