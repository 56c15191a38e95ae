"""How a run is doing at one moment, and in which words that is told."""

from __future__ import annotations

import datetime as dt

import attrs

FETCHING = "fetching"


@attrs.frozen
class ProgressSnapshot:
    """How a run is doing at one moment."""

    site: str
    start: dt.date
    """The first day of the range."""
    day_states: bytes
    """A `gsc_trio.cli.day_states.DayState` for each day of the range."""
    days: int
    """Days completed."""
    days_planned: int
    pages: int
    """Pages committed."""
    pages_waiting: int
    """Pages that were fetched and wait for an earlier one."""
    rows: int
    rows_per_second: float
    """Rows committed in the last few seconds."""
    queries_per_minute: int
    """Queries sent in the last 60 seconds."""
    quota_used: int
    """Permits that are taken of the limit that is nearest to be reached."""
    quota_limit: int
    """That limit, in queries in any 60 seconds; 0 while no permit was taken."""
    queue_depth: int
    """Jobs in the queue, as the last events had it."""
    in_flight: int
    """Jobs taken and not yet committed, as the last events had it."""
    workers: int
    """Workers that are there."""
    crashes: int
    """Workers that crashed so far; each had a successor."""
    retries: int
    """Queries that were asked again, or will be."""
    retry_reasons: tuple[tuple[str, int], ...]
    """Why, the most frequent first, with how many of them."""
    elapsed_seconds: float
    seconds_left: float | None
    """How long it goes on at the pace so far; None while that is not known."""
    paused_seconds: float
    """How long a pause that Google asked for still lasts."""
    pause_reason: str
    """Why: ``load quota`` or ``too fast``."""
    status: str
    """``fetching``, ``stopping``, or as in the summary when it is over."""
    halt_reason: str
    """Why it stops, or stopped, before its plan is done."""

    @property
    def counts(self) -> tuple[int, ...]:
        """What has changed if something moved."""
        return self.pages, self.pages_waiting, self.retries

    def line(self, *, is_last: bool) -> str:
        """One line that says it all."""
        return f"{self.days_text()}, {self.counts_text()}, {self.time_text(is_last=is_last)}"

    @property
    def end(self) -> dt.date:
        """The last day of the range."""
        return self.start + dt.timedelta(days=len(self.day_states) - 1)

    def days_text(self) -> str:
        """How far it is."""
        return f"{self.days:,} of {self.days_planned:,} days"

    def counts_text(self) -> str:
        """What has come in."""
        waiting = f" ({self.waiting_text()})" if self.pages_waiting else ""
        text = (
            f"{self.pages:,} pages{waiting}, {self.rows:,} rows, "
            f"{self.queries_per_minute:,} requests/min"
        )
        if self.retries:
            text += f", {self.retries:,} retried"
        if self.paused_seconds:
            text += f", {self.pause_text()}"
        return text

    def waiting_text(self) -> str:
        """What is here and not committed."""
        return f"+{self.pages_waiting:,} fetched"

    def pause_text(self) -> str:
        """How long a pause lasts, and why."""
        return f"paused for {duration_text(self.paused_seconds)} more ({self.pause_reason})"

    def time_text(self, *, is_last: bool) -> str:
        """How long it takes, or took."""
        if is_last:
            return f"{duration_text(self.elapsed_seconds)} in all"
        if self.seconds_left is None:
            return f"{duration_text(self.elapsed_seconds)} so far"
        return f"ETA {duration_text(self.seconds_left)}"


def duration_text(seconds: float) -> str:
    """A length of time as hours, minutes and seconds."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"
