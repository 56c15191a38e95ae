"""A timeline as lists of figures: what a chart draws."""

from __future__ import annotations

from collections.abc import Iterable

from gsc_trio.report.quantiles import Durations
from gsc_trio.report.record import LatencyPoint, Series
from gsc_trio.report.timeline import Gauge, Slot, Timeline

LATENCY_POINTS = 40
"""In how many parts, at most, the run's latencies are told: a part should have some queries."""


def make_series(timeline: Timeline) -> Series:
    """The figures of all slots; a level holds until another one is told."""
    slots = timeline.slots
    return Series(
        slot_seconds=timeline.slot_seconds,
        queries=[slot.queries for slot in slots],
        refused=[slot.refused for slot in slots],
        retries=[slot.retries for slot in slots],
        rows=[slot.rows for slot in slots],
        paused_seconds=[round(slot.paused_seconds, 3) for slot in slots],
        queries_per_minute=_levels(slot.queries_per_minute for slot in slots),
        queue_depth=_levels(slot.queue_depth for slot in slots),
        in_flight=_levels(slot.in_flight for slot in slots),
        workers=_levels(slot.workers for slot in slots),
        resident_bytes=_levels((slot.resident_bytes for slot in slots), _first(slots)),
        waiting_bytes=_levels(slot.waiting_bytes for slot in slots),
        latencies=_latencies(slots, timeline.slot_seconds),
    )


def _first(slots: Iterable[Slot]) -> float:
    """The first memory that was measured: it was not nothing before that."""
    return next((slot.resident_bytes.highest for slot in slots if slot.resident_bytes.highest), 0)


def _levels(gauges: Iterable[Gauge], before: float = 0.0) -> list[int]:
    """The highest of each slot: a slot begins with what the one before it ended with."""
    levels = []
    for gauge in gauges:
        highest = before if gauge.highest is None else max(before, gauge.highest)
        before = before if gauge.last is None else gauge.last
        levels.append(round(highest))
    return levels


def _latencies(slots: list[Slot], slot_seconds: float) -> list[LatencyPoint]:
    width = -(-len(slots) // LATENCY_POINTS)
    points = []
    for first in range(0, len(slots), width):
        durations = Durations()
        for slot in slots[first : first + width]:
            durations.merge(slot.latencies)
        found = durations.quantiles()
        if found.count:
            middle = (first + width / 2) * slot_seconds
            points.append(LatencyPoint(round(middle, 3), found.p50, found.p95, found.p99))
    return points
