"""Events as plain names and values, for whoever writes them down: logs and traces."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import get_args

import attrs

from gsc_trio.model import Day, Halt, Job, Page
from gsc_trio.telemetry.events import BatchFinished, Event

Fact = str | int | float | bool | list[str] | None
"""What JSON can hold."""

_NAMES: Mapping[type[Event], tuple[str, ...]] = {
    kind: tuple(field.name for field in attrs.fields(kind) if field.repr)
    for kind in get_args(Event)
}


@cache
def snake_case(name: str) -> str:
    """``BatchFinished`` as ``batch_finished``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def reason_of(error: BaseException) -> str:
    """The kind of an error, one of a few: ``rate_limit_exceeded``, ``backend``, ``transport``."""
    return snake_case(type(error).__name__.removesuffix("Error"))


def quota_of(key: str) -> str:
    """The kind of a limit, ``site``, ``user`` or ``project``, without whose it is."""
    return key.partition(" ")[0]


def facts_of(event: Event) -> dict[str, Fact]:
    """An event's facts, flat; pages and jobs by their days, and of whatever is many the count."""
    facts: dict[str, Fact] = {}
    for name in _NAMES[type(event)]:
        facts.update(_facts(name, getattr(event, name)))
    if isinstance(event, BatchFinished):
        facts["status"] = event.status
    return facts


def _facts(name: str, value: object) -> Iterator[tuple[str, Fact]]:
    match value:
        case None | bool() | int() | str():
            yield name, value
        case float():
            yield name, round(value, 6)
        case dt.date():
            yield name, value.isoformat()
        case Page(job, rows):
            yield "data_date", job.data_date.isoformat()
            yield "start_row", job.start_row
            yield "rows", len(rows)
            yield "content_bytes", value.content_bytes
        case Day(data_date, rows):
            yield "data_date", data_date.isoformat()
            yield "rows", rows
        case Halt(reason, status):
            yield "status", status
            yield "reason", reason
        case BaseException():
            yield name, str(value) or type(value).__name__
            yield f"{name}_kind", reason_of(value)
        case tuple():
            yield name, len(value)
            days = {each.data_date.isoformat() for each in value if isinstance(each, Job)}
            if days:
                yield "data_dates", sorted(days)
        case _:
            raise AssertionError(f"{name} is {value!r}, which no fact is made of")
