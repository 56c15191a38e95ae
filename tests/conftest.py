"""What every test relies on, however the tests were started."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so, and programs that tests start would
    # inherit it: they would heed it, as they heed nohup, and never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
