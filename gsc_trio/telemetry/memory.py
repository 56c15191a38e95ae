"""How much memory this process takes, asked of the kernel: cheap enough for once a batch."""

from __future__ import annotations

import resource
import sys

_PAGE_BYTES = resource.getpagesize()


def resident_bytes() -> int:
    """The resident set of this process now; where there is no ``/proc``, its peak so far."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
