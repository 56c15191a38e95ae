"""Python's garbage collector, put off for a moment.

Decoding a page makes a tuple for each row. Python looks for garbage after every 700 objects it
makes, and never finds any among them: a fifth of the time that decoding takes. One look
afterwards is as good.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Make many objects that all stay; for a millisecond or so, since it counts for all threads.

    Who has switched the collector off keeps it off.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
