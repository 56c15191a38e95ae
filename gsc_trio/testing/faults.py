"""Scripted faults: which call or request goes wrong, how, and how often.

::

    FakeSearchConsole(
        [SimulatedProperty("sc-domain:example.com")],
        faults=[
            Fault(Refuse(503), times=3),
            Fault(MissingPart(), data_date=dt.date(2026, 3, 1)),
            Fault(CutOff(), whole_request=True),
        ],
    )
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import attrs


@attrs.frozen
class Refuse:
    """Answer with an error, in Google's envelope."""

    status: int
    reason: str = "backendError"
    message: str = "Backend Error"
    retry_after: str | None = None


@attrs.frozen
class HtmlPage:
    """Answer with a page of HTML, as a proxy does."""

    status: int = 502


@attrs.frozen
class BadJson:
    """Answer 200 with JSON that stops in the middle."""


@attrs.frozen
class BadGzip:
    """Damage the compressed bytes of an HTTP answer; only for whole requests."""


@attrs.frozen
class ShiftedRows:
    """Answer as if so many new rows had come in at the top of the day.

    What a page held goes down by as many rows, so the next page repeats some of it.
    """

    rows: int


@attrs.frozen
class MissingPart:
    """Leave the part out of the batch's answer."""


@attrs.frozen
class DoubledPart:
    """Send the part twice."""


@attrs.frozen
class UnknownPart:
    """Send the part with an id that was never asked for."""


@attrs.frozen
class Stall:
    """Answer late."""

    seconds: float


@attrs.frozen
class CutOff:
    """Close the connection in the middle of the answer."""


Action = (
    Refuse
    | HtmlPage
    | BadJson
    | BadGzip
    | ShiftedRows
    | MissingPart
    | DoubledPart
    | UnknownPart
    | Stall
    | CutOff
)


@attrs.define(eq=False)
class Fault:
    """One rule. The first rule that matches acts.

    Args:
        action: what goes wrong.
        times: how often it acts; None for always.
        skip: how many matches it lets pass first.
        data_date: only calls for this day.
        start_row: only calls from this row on.
        site_url: only calls for this property.
        whole_request: match HTTP requests, batches among them, rather than single calls.
    """

    action: Action
    times: int | None = 1
    skip: int = 0
    data_date: dt.date | None = None
    start_row: int | None = None
    whole_request: bool = False
    site_url: str | None = None

    def strike(self) -> bool:
        """Whether it acts on this match; counts it."""
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            if self.times == 0:
                return False
            self.times -= 1
        return True


@attrs.define(eq=False)
class FaultScript:
    """All rules of a server."""

    faults: list[Fault] = attrs.field(factory=list)

    def for_call(self, site_url: str, data_date: str, start_row: int) -> Action | None:
        """What goes wrong with a call, if anything."""
        return self._first(
            fault
            for fault in self.faults
            if not fault.whole_request
            and (fault.site_url is None or fault.site_url == site_url)
            and (fault.data_date is None or fault.data_date.isoformat() == data_date)
            and (fault.start_row is None or fault.start_row == start_row)
        )

    def for_request(self) -> Action | None:
        """What goes wrong with an HTTP request as a whole, if anything."""
        return self._first(fault for fault in self.faults if fault.whole_request)

    @staticmethod
    def _first(faults: Iterable[Fault]) -> Action | None:
        return next((fault.action for fault in faults if fault.strike()), None)
