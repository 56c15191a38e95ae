"""How many properties side by side are doing at one moment, and in which words that is told."""

from __future__ import annotations

import attrs

from gsc_trio.cli.snapshot import FETCHING, duration_text
from gsc_trio.telemetry.events import QuotaUsed


@attrs.frozen
class GroupSnapshot:
    """How it is going at one moment."""

    properties: int
    """How many have something to fetch."""
    running: tuple[str, ...]
    done: int
    failed: int
    """Of those that are done, how many are not complete."""
    days: int
    days_planned: int
    pages: int
    rows: int
    rows_per_second: float
    queries_per_minute: int
    quotas: tuple[QuotaUsed, ...]
    """The account that uses most of its quota, and the project."""
    workers: int
    retries: int
    retry_reasons: tuple[tuple[str, int], ...]
    elapsed_seconds: float
    seconds_left: float | None
    paused_seconds: float
    status: str = FETCHING
    reason: str = ""

    @property
    def counts(self) -> tuple[int, ...]:
        """What has changed if something moved."""
        return self.done, self.pages, self.retries

    def line(self, *, is_last: bool) -> str:
        """One line that says it all."""
        failed = f" ({self.failed:,} not complete)" if self.failed else ""
        text = (
            f"{self.done:,} of {self.properties:,} properties{failed}, "
            f"{self.days:,} of {self.days_planned:,} days, {self.rows:,} rows, "
            f"{self.queries_per_minute:,} requests/min"
        )
        if self.retries:
            text += f", {self.retries:,} retried"
        if self.paused_seconds:
            text += f", paused for {duration_text(self.paused_seconds)} more"
        return f"{text}, {self.time_text(is_last=is_last)}"

    def time_text(self, *, is_last: bool) -> str:
        """How long it takes, or took."""
        if is_last:
            return f"{duration_text(self.elapsed_seconds)} in all"
        if self.seconds_left is None:
            return f"{duration_text(self.elapsed_seconds)} so far"
        return f"ETA {duration_text(self.seconds_left)}"
