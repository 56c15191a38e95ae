"""Records of runs in virtual time, good and bad."""

from __future__ import annotations

import datetime as dt
from typing import Any

from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.report.record import RunRecord
from gsc_trio.report.recorder import RunRecorder
from gsc_trio.testing import FakeSearchConsole, Fault, Refuse
from tests.telemetry.runs import END, QUERY, day, fake_with_faults, run_with


async def record_of(
    fake: FakeSearchConsole,
    *,
    days: int = 12,
    end: dt.date = END,
    halt_switch: HaltSwitch | None = None,
    **given: Any,
) -> RunRecord:
    """What is kept of a run."""
    recorder = RunRecorder()
    settings = {"batch_size": 3, **given}
    summary = await run_with(
        [recorder], fake, days=days, end=end, halt_switch=halt_switch, **settings
    )
    return recorder.record(summary, QUERY, Settings(**settings))


async def good_record() -> RunRecord:
    """All went well."""
    return await record_of(fake_with_faults())


async def bad_record(message: str = "Quota exceeded") -> RunRecord:
    """Google refused some queries, its service failed, and two days were not final yet."""
    return await record_of(
        fake_with_faults(
            Fault(Refuse(429, "rateLimitExceeded", message), skip=5, times=2),
            Fault(Refuse(503), skip=4, times=3),
            last_final_day=END,
        ),
        end=day(-2),
    )
