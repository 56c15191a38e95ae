"""How much memory this process takes, asked of the kernel.

Asking takes 15 µs, which is much for a batch of one query. So it is asked ten times a second at the
most, and between that the last answer counts.
"""

from __future__ import annotations

import resource
import sys
import time

ASK_AGAIN_SECONDS = 0.1

_PAGE_BYTES = resource.getpagesize()

_last_asked, _last_answer = -ASK_AGAIN_SECONDS, 0


def resident_bytes() -> int:
    """The resident set of this process now; where there is no ``/proc``, its peak so far."""
    global _last_asked, _last_answer
    now = time.monotonic()
    if now - _last_asked >= ASK_AGAIN_SECONDS:
        _last_asked, _last_answer = now, _ask()
    return _last_answer


def _ask() -> int:
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
