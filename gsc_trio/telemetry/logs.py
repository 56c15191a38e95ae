r"""Structured logs: one event a line, as JSON or as text.

::

    {"time": "2026-06-20T12:00:00.123Z", "level": "info", "event": "day_completed", ...}
    2026-06-20T12:00:00.123Z INFO day_completed data_date=2026-06-17 rows=1200

Levels: ``debug`` is every event there is; ``info`` is what moves a run forward (its start and end,
batches, days); ``warning`` is what slows it down or stops it; ``error`` is what failed for good.
A line names the property, since it is for whoever runs this; it never has a secret in it, since
events have none.

::

    await backfill(client, query, store, ..., instruments=[JsonLog(sys.stderr.write)])
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping

from gsc_trio.telemetry.events import (
    BatchFinished,
    BatchTaken,
    Event,
    HaltFinished,
    HaltRequested,
    JobsRetried,
    JobsReturned,
    MemoryMeasured,
    PageAnswered,
    PageCommitted,
    QuotaApproaching,
    QuotaExceeded,
    QuotaPaused,
    QuotaUsed,
    RequestFinished,
    RequestSent,
    RowsMoved,
    RunFinished,
    TransactionCommitted,
    WorkerCrashed,
    WorkerEnded,
    WorkerStarted,
)
from gsc_trio.telemetry.facts import Fact, facts_of, snake_case

LEVELS = ("debug", "info", "warning", "error")
"""In rising order of importance."""

_LEVELS_BY_KIND: Mapping[type[Event], str] = {
    BatchTaken: "debug",
    JobsReturned: "debug",
    RequestSent: "debug",
    RequestFinished: "debug",
    PageAnswered: "debug",
    TransactionCommitted: "debug",
    PageCommitted: "debug",
    QuotaUsed: "debug",
    WorkerStarted: "debug",
    WorkerEnded: "debug",
    MemoryMeasured: "debug",
    RowsMoved: "warning",
    JobsRetried: "warning",
    QuotaApproaching: "warning",
    QuotaExceeded: "warning",
    QuotaPaused: "warning",
    HaltRequested: "warning",
    WorkerCrashed: "error",
}
"""What is not named here is ``info``, unless it failed."""


def level_of(event: Event) -> str:
    """How important an event is."""
    match event:
        case RunFinished(status="failed"):
            return "error"
        case RunFinished(status="halted" | "interrupted") | HaltFinished():
            return "warning"
        case BatchFinished(failed=failed) if failed:
            return "warning"
        case _:
            return _LEVELS_BY_KIND.get(type(event), "info")


class _Log:
    """Writes lines.

    Args:
        write: takes a line with its end; it must not block.
        level: the least important level to write.
    """

    def __init__(self, write: Callable[[str], object], *, level: str = "info") -> None:
        self._write = write
        self._least = LEVELS.index(level)

    def handle(self, event: Event) -> None:
        """Write an event down, if it is important enough."""
        level = level_of(event)
        if LEVELS.index(level) >= self._least:
            self._write(self.line(level, snake_case(type(event).__name__), facts_of(event)))

    def note(self, level: str, message: str, **facts: Fact) -> None:
        """Write down something that is no event, for the person who watches."""
        if LEVELS.index(level) >= self._least:
            self._write(self.line(level, "note", {"message": message, **facts}))

    @staticmethod
    def line(level: str, event: str, facts: Mapping[str, Fact]) -> str:
        """One line, with its end."""
        raise NotImplementedError


class JsonLog(_Log):
    """An instrument that writes one JSON object a line, in ASCII: it survives any locale."""

    @staticmethod
    def line(level: str, event: str, facts: Mapping[str, Fact]) -> str:
        """One JSON object, with the end of its line."""
        entry = {"time": _now(), "level": level, "event": event}
        return json.dumps({**entry, **facts}) + "\n"


class TextLog(_Log):
    """An instrument that writes one line of ``name=value`` for each event."""

    @staticmethod
    def line(level: str, event: str, facts: Mapping[str, Fact]) -> str:
        """The time, the level, the event and its facts; what is unknown is left out."""
        known = (f"{name}={_text(value)}" for name, value in facts.items() if value is not None)
        return " ".join([_now(), level.upper(), event, *known]) + "\n"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")


def _text(value: Fact) -> str:
    text = ",".join(value) if isinstance(value, list) else str(value)
    if isinstance(value, bool):
        text = text.lower()
    return text if _PLAIN.fullmatch(text) and text.isprintable() else json.dumps(text)
