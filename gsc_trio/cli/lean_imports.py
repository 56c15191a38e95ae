"""What a command does not have to load.

sqlite-utils loads pandas and NumPy where they are installed, to take data frames, which no command
gives it: 80 MB, and a third of a second. A trio program of your own loads what it likes; it may
want sqlite-utils for its data frames, so the library leaves that alone.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import cast

_NOT_NEEDED = ("pandas", "numpy")


def import_sqlite_utils() -> None:
    """Load sqlite-utils as if these were not installed; afterwards they are as they were."""
    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    modules.update(dict.fromkeys(hidden))  # None: what imports it hears that it is not there
    try:
        importlib.import_module("sqlite_utils")
    finally:
        for name in hidden:
            del modules[name]
