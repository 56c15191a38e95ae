"""Child processes of tests: each ends with its test, and no Python runs between fork and exec.

A ``preexec_fn`` would: while other threads serve a fake, one of them may hold a lock just then, and
the child, and whoever waits for its exec, would wait for ever. So what has to be set up is set up
by programs that then become the command.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process for as long as the body runs; what is left of it then is killed."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def after(setup: str, command: Sequence[str]) -> list[str]:
    """A command that runs after some shell, in the same process, as ``trap '' HUP``."""
    return ["sh", "-c", f'{setup}; exec "$@"', "sh", *command]
