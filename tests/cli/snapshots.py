"""Snapshots of runs, for tests of what is drawn of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from gsc_trio.cli.day_states import DayState
from gsc_trio.cli.snapshot import ProgressSnapshot

START = dt.date(2026, 1, 1)


def snapshot(days: dict[DayState, int] | None = None, **changes: Any) -> ProgressSnapshot:
    """A run's; the oldest days are in the states that are named first."""
    states = {DayState.TO_COME: 60, DayState.COMMITTED: 30} if days is None else days
    values: dict[str, Any] = {
        "site": "sc-domain:example.com",
        "start": START,
        "day_states": b"".join(bytes([state]) * count for state, count in states.items()),
        "days": states.get(DayState.COMMITTED, 0),
        "days_planned": sum(states.values()) - states.get(DayState.STORED, 0),
        "pages": 31,
        "pages_waiting": 0,
        "rows": 62_000,
        "rows_per_second": 1_234.5,
        "queries_per_minute": 300,
        "quota_used": 300,
        "quota_limit": 1_200,
        "queue_depth": 12,
        "in_flight": 34,
        "workers": 3,
        "crashes": 0,
        "retries": 0,
        "retry_reasons": (),
        "elapsed_seconds": 10.0,
        "seconds_left": 20.0,
        "paused_seconds": 0.0,
        "pause_reason": "",
        "status": "fetching",
        "halt_reason": "",
    }
    return ProgressSnapshot(**{**values, **changes})
