"""How a command sets up Python. A trio program of your own decides for itself.

Threads. A thread that waits for the interpreter lock asks for it after 5 ms, and waits anew each
time that the one that has it lets it go for a moment, as an event loop does in each round: while
answers are decoded, the thread that writes to the database waits until that is over. With an
interval that is shorter than a round it gets its turn.

Imports. sqlite-utils loads pandas and NumPy where they are installed, to take data frames, which no
command gives it: 80 MB, and a third of a second.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import cast

SWITCH_SECONDS = 0.0001

_NOT_NEEDED = ("pandas", "numpy")


def set_up_interpreter() -> None:
    """Let threads take turns quickly, and load no more than is needed; for the whole process."""
    sys.setswitchinterval(SWITCH_SECONDS)
    _import_sqlite_utils()


def _import_sqlite_utils() -> None:
    """Load it as if these were not installed; afterwards they are as they were."""
    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    modules.update(dict.fromkeys(hidden))  # None: what imports it hears that it is not there
    try:
        importlib.import_module("sqlite_utils")
    finally:
        for name in hidden:
            del modules[name]
