"""Whether SIGHUP came since the terminal is being closed, or since somebody sent it on purpose."""

from __future__ import annotations

import os
import signal

import trio

LAST_WORD_SECONDS = 0.5
"""Some shells send SIGHUP to their jobs first and close the terminal then; so long it may take."""


class Terminal:
    """The controlling terminal of this process. Made before signals are received.

    Who has none, as under cron or systemd, or was started with nohup, never sees it closed.
    """

    def __init__(self) -> None:
        is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._matters = self._is_there() and not is_nohup

    async def is_closing(self) -> bool:
        """Whether it is gone, or is going while this waits."""
        if self._matters and self._is_there():
            await trio.sleep(LAST_WORD_SECONDS)
        return self._matters and not self._is_there()

    @staticmethod
    def _is_there() -> bool:
        """The kernel takes it away from all its processes when it hangs up."""
        try:
            os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        except OSError:
            return False
        return True
