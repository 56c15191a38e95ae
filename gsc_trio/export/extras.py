"""Libraries that only exports need: loaded late, and a clear line when they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gsc_trio.errors import UsageError


def load(library: str, purpose: str) -> Any:
    """Import a library of the extra ``export``.

    Args:
        library: as it is imported, for example ``pyarrow.parquet``.
        purpose: what needs it, to begin a sentence with.

    Raises:
        UsageError: it is not installed; the message has the command that installs it.
    """
    try:
        return import_module(library)
    except ImportError as error:
        package = library.split(".", maxsplit=1)[0]
        raise UsageError(
            f"{purpose} needs {package} ({error}): pip install 'gsc-trio[export]'"
        ) from None
