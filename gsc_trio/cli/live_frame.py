"""What the live view shows: a run's snapshot as lines of text that fit a terminal.

The higher the terminal, the more there is to see: a calendar of days, bars and counts; a strip of
days in place of the calendar; three lines. Which of these it is depends on the terminal's size
alone, so that it does not change in mid-run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs
from rich.style import Style
from rich.text import Text

from gsc_trio.cli.day_states import DayState
from gsc_trio.cli.heat_map import MARGIN, calendar, strip
from gsc_trio.cli.look import ACCENT, BAD, DIM, GOOD, STATE_STYLES, STRONG, WARN, Look
from gsc_trio.cli.output import one_line
from gsc_trio.cli.snapshot import FETCHING, ProgressSnapshot, duration_text

MAX_WIDTH = 100
"""How wide a frame is at the most, but for a calendar that needs more."""

MIN_WIDTH, MIN_HEIGHT = 50, 14
"""In a smaller terminal there are three lines."""

CALENDAR_HEIGHT = 22
"""In a lower terminal there is a strip instead of a calendar."""

LINES_BESIDE_DAYS = 12
"""How many lines the rest takes, and one for what is told above."""

APPROACHING_SHARE = 0.8
"""From which share of the quota on its bar warns."""

MAX_STRIP_LINES = 8
MAX_REASONS = 3

_STATE_NAMES = {
    DayState.STORED: "stored before",
    DayState.COMMITTED: "committed",
    DayState.FETCHED: "fetched",
    DayState.IN_FLIGHT: "in flight",
    DayState.TO_COME: "to come",
    DayState.LEFT_OUT: "left out",
}
_STATUS_STYLES = {"complete": GOOD, "failed": BAD}


def frame(
    snapshot: ProgressSnapshot, width: int, height: int, look: Look, *, is_last: bool
) -> list[Text]:
    """The lines to show.

    Args:
        snapshot: how the run is doing.
        width: the terminal's, in columns; every line is shorter.
        height: the terminal's, in lines.
        look: the characters to use.
        is_last: whether the run is over.
    """
    drawing = _Drawing(snapshot, width - 1, height, look, is_last)
    lines = drawing.whole() if width >= MIN_WIDTH and height >= MIN_HEIGHT else drawing.short()
    for line in lines:
        line.rstrip()
        if line.cell_len >= width:
            line.truncate(width - 2)
            line.append(look.ellipsis)
    return lines[: height - 1]


@attrs.define
class _Drawing:
    snapshot: ProgressSnapshot
    width: int
    height: int
    look: Look
    is_last: bool

    def whole(self) -> list[Text]:
        """Everything; the days decide how wide the other lines are."""
        days = self.days()
        self.width = max(min(self.width, MAX_WIDTH), *(line.cell_len for line in days))
        figures = [*self.bars(), *self.status(), *self.counts()]
        return [*self.title(), *days, *self.legend(), *figures]

    def title(self) -> list[Text]:
        """The property and its days; how long it takes."""
        snapshot = self.snapshot
        time_text = snapshot.time_text(is_last=self.is_last)
        if snapshot.seconds_left is not None and not self.is_last:
            time_text = f"{duration_text(snapshot.elapsed_seconds)}, {time_text}"
        line = Text(one_line(snapshot.site), STRONG)
        days_text = f"  {snapshot.start} to {snapshot.end}"
        room = self.width - line.cell_len - len(time_text) - 2
        if room >= len(days_text):
            line.append(days_text, DIM)
        elif room < 0:
            line.truncate(self.width - len(time_text) - 3)
            line.append(self.look.ellipsis, DIM)
        line.append(time_text.rjust(self.width - line.cell_len), ACCENT)
        return [line]

    def days(self) -> list[Text]:
        """What there is of each day: a calendar if there is room for one."""
        start, states = self.snapshot.start, self.snapshot.day_states
        lines = None
        if self.height >= CALENDAR_HEIGHT:
            lines = calendar(start, states, self.width, self.look)
        if lines is None:
            rows = min(self.height - LINES_BESIDE_DAYS, MAX_STRIP_LINES)
            lines = strip(start, states, min(self.width, MAX_WIDTH), rows, self.look)
        return lines

    def legend(self) -> list[Text]:
        """Which states there are, and of how many days."""
        counts = Counter(self.snapshot.day_states)
        return self._flow(
            Text.assemble(
                (self.look.states[state], STATE_STYLES[state]),
                (f" {name} ", DIM),
                f"{counts[state]:,}",
            )
            for state, name in _STATE_NAMES.items()
            if counts[state]
        )

    def bars(self) -> list[Text]:
        """How far it is, and how much of the quota is used."""
        snapshot = self.snapshot
        done = _share(snapshot.days, snapshot.days_planned)
        texts = [f"{snapshot.days_text()} {done:4.0%}"]
        fetched = snapshot.day_states.count(DayState.FETCHED)
        parts: list[tuple[tuple[float, Style], ...]] = [
            ((done, GOOD), (_share(fetched, snapshot.days_planned), ACCENT))
        ]
        if snapshot.quota_limit and not self.is_last:
            used = _share(snapshot.quota_used, snapshot.quota_limit)
            style = WARN if used >= APPROACHING_SHARE else ACCENT
            texts.append(
                f"{snapshot.quota_used:,} of {snapshot.quota_limit:,} a minute {used:4.0%}"
            )
            parts.append(((used, style),))
        text_width = max(map(len, texts))
        bar_width = max(4, self.width - MARGIN - 2 - text_width)
        return [
            Text(name.ljust(MARGIN), DIM)
            .append_text(self.look.bar(bar_width, *shares))
            .append("  ")
            .append(text.rjust(text_width), STRONG)
            for name, shares, text in zip(("days", "quota"), parts, texts, strict=False)
        ]

    def counts(self) -> list[Text]:
        """What has come in, what is under way, what went wrong."""
        snapshot = self.snapshot
        waiting = f" ({snapshot.waiting_text()})" if snapshot.pages_waiting else ""
        pairs = [
            ("pages", f"{snapshot.pages:,}{waiting}"),
            ("rows", f"{snapshot.rows:,}"),
            ("rows/s", f"{self.rows_per_second():,.0f}"),
        ]
        if not self.is_last:
            pairs += [
                ("requests/min", f"{snapshot.queries_per_minute:,}"),
                ("jobs queued", f"{snapshot.queue_depth:,}"),
                ("jobs in flight", f"{snapshot.in_flight:,}"),
                ("workers", f"{snapshot.workers:,}"),
            ]
        if snapshot.crashes:
            pairs.append(("crashes", f"{snapshot.crashes:,}"))
        items = [Text.assemble((f"{name} ", DIM), value) for name, value in pairs]
        if snapshot.retries:
            items.append(Text.assemble(("retried ", DIM), (self._retries_text(), WARN)))
        return self._flow(items)

    def rows_per_second(self) -> float:
        """Of the last seconds; when it is over, of all of its time."""
        snapshot = self.snapshot
        if self.is_last:
            return snapshot.rows / max(snapshot.elapsed_seconds, 0.001)
        return snapshot.rows_per_second

    def status(self) -> list[Text]:
        """What holds it up, or how it ended."""
        snapshot = self.snapshot
        if snapshot.status != FETCHING:
            reason = one_line(snapshot.halt_reason)
            text = snapshot.status
            if reason:
                text = reason if reason.startswith(text) else f"{text}: {reason}"
            style = _STATUS_STYLES.get(snapshot.status, WARN)
        elif snapshot.paused_seconds:
            text, style = snapshot.pause_text(), WARN
        else:
            return []
        return [Text(" " * MARGIN).append(text, style + STRONG)]

    def short(self) -> list[Text]:
        """Three lines, for a low terminal."""
        snapshot = self.snapshot
        done = _share(snapshot.days, snapshot.days_planned)
        bar = self.look.bar(min(28, self.width // 3), (done, GOOD))
        bar.append(f" {snapshot.days_text()}", STRONG)
        bar.append(f" {snapshot.time_text(is_last=self.is_last)}", ACCENT)
        return [Text(one_line(snapshot.site)), bar, Text(snapshot.counts_text(), DIM)]

    def _retries_text(self) -> str:
        reasons = self.snapshot.retry_reasons[:MAX_REASONS]
        text = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
        return f"{self.snapshot.retries:,} ({text})"

    def _flow(self, items: Iterable[Text]) -> list[Text]:
        """Items side by side, on as many lines as they need."""
        lines: list[Text] = []
        for item in items:
            if lines and lines[-1].cell_len + 3 + item.cell_len <= self.width:
                lines[-1].append("   ").append_text(item)
            else:
                lines.append(Text(" " * MARGIN).append_text(item))
        return lines


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 1.0
