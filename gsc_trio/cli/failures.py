"""What a person sees of an error: one line that says what is wrong, and an exit code.

Exit codes: 0 complete, 1 failed or halted, 2 the request itself is wrong, 130 interrupted. A
traceback is for errors of this program, never for what a user, Google or a disk did.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from gsc_trio.cli.output import one_line, tell
from gsc_trio.errors import ApiError, GscTrioError, UsageError

COMPLETE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130


def tell_error(error: BaseException) -> int:
    """Tell an error; returns the exit code.

    Raises:
        BaseException: the error, if it is one that nobody foresaw.
    """
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = context.command_path if context else "gsc-trio"
        tell(f"{command}: {error.format_message()}")
        return error.exit_code
    cause = first_cause(error)
    if isinstance(cause, click.Abort | KeyboardInterrupt):
        tell("gsc-trio: interrupted")
        return INTERRUPTED
    if isinstance(cause, UsageError):
        tell(f"gsc-trio: {cause}")
        return USAGE
    if isinstance(cause, ApiError) and cause.advice:
        tell(f"gsc-trio: {cause}; {cause.advice}")
        return FAILED
    if isinstance(cause, GscTrioError | OSError):
        tell(f"gsc-trio: {cause}")
        return FAILED
    raise error


def first_cause(error: BaseException) -> BaseException:
    """The error in an exception group, however deep, that a person should be told.

    An interrupt comes before a wrong request, that before other errors we raise on purpose, and
    those before the rest.
    """
    leaves = list(_leaves(error))
    for kinds in ((KeyboardInterrupt,), (UsageError,), (GscTrioError,), (Exception,)):
        for leaf in leaves:
            if isinstance(leaf, kinds):
                return leaf
    return leaves[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def reason_of(error: BaseException) -> str:
    """An error as the reason in a summary."""
    return one_line(str(error)) or type(error).__name__
