"""What only shards need: an extra, and a clear line when it is missing."""

from __future__ import annotations

from importlib import import_module

from gsc_trio.errors import UsageError


def require_extra(purpose: str) -> None:
    """See that Procrastinate and psycopg are there.

    Args:
        purpose: what needs them, to begin a sentence with.

    Raises:
        UsageError: one is not installed; the message has the command that installs it.
    """
    for library in ("procrastinate", "psycopg"):
        try:
            import_module(library)
        except ImportError as error:
            raise UsageError(
                f"{purpose} needs {library} ({error}): pip install 'gsc-trio[workers]'"
            ) from None
