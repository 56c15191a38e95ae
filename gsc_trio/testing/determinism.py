"""The same seed, the same order of everything: trio's scheduler without its chance."""

# ruff: noqa: SLF001 - trio has no public switch for it

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio


@contextmanager
def deterministic_scheduling(seed: int) -> Iterator[None]:
    """Make what runs in the body follow from a seed alone.

    trio shuffles tasks on purpose, and has a switch for Hypothesis that makes this repeatable. The
    garbage collector, which ends forgotten generators at times of its own, has to wait; and what
    goes wrong on purpose is not logged.

    Args:
        seed: what the scheduler, and Python's own chance, follow from.
    """
    scheduler: Any = trio._core._run
    logger = logging.getLogger("gsc_trio")
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate(), random.getstate()
    collects, was_silent = gc.isenabled(), logger.disabled
    gc.disable()
    logger.disabled = True
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    scheduler._r.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before[0]
        scheduler._r.setstate(before[1])
        random.setstate(before[2])
        logger.disabled = was_silent
        if collects:
            gc.enable()
