"""What every test relies on, however the tests were started."""

from __future__ import annotations

import gc
import signal

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "any machine",
    deadline=None,  # how long an example takes says more of what else the machine does
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so, and programs that tests start would
    # inherit it: they would heed it, as they heed nohup, and never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there by now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
