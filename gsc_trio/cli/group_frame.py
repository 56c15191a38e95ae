"""What the live view shows of many properties: what is done, the quotas, and who has a turn."""

from __future__ import annotations

from rich.text import Text

from gsc_trio.cli.group_snapshot import GroupSnapshot
from gsc_trio.cli.live_frame import APPROACHING_SHARE, MAX_WIDTH
from gsc_trio.cli.look import ACCENT, BAD, DIM, GOOD, STRONG, WARN, Look
from gsc_trio.cli.output import one_line
from gsc_trio.cli.snapshot import FETCHING, duration_text

MARGIN = 11
MAX_NAMES = 6
"""How many of the properties that have their turn are named."""


def group_frame(
    snapshot: GroupSnapshot, width: int, height: int, look: Look, *, is_last: bool
) -> list[Text]:
    """The lines to show; parameters as for `gsc_trio.cli.live_frame.frame`."""
    columns = min(width - 1, MAX_WIDTH)
    lines = [_title(snapshot, columns, is_last), *_bars(snapshot, columns, look, is_last)]
    if snapshot.status != FETCHING:
        style = GOOD if snapshot.status == "complete" else BAD
        text = ": ".join(filter(None, (snapshot.status, one_line(snapshot.reason))))
        lines.append(Text(" " * MARGIN).append(text, style + STRONG))
    elif snapshot.paused_seconds:
        text = f"paused for {duration_text(snapshot.paused_seconds)} more"
        lines.append(Text(" " * MARGIN).append(text, WARN + STRONG))
    lines += [*_names(snapshot), _counts(snapshot)]
    for line in lines:
        if line.cell_len >= width:
            line.truncate(width - 2)
            line.append(look.ellipsis)
    return lines[: height - 1]


def _title(snapshot: GroupSnapshot, columns: int, is_last: bool) -> Text:
    time_text = snapshot.time_text(is_last=is_last)
    if not is_last and snapshot.seconds_left is not None:
        time_text = f"{duration_text(snapshot.elapsed_seconds)}, {time_text}"
    title = Text(f"{snapshot.properties:,} properties to fetch", STRONG)
    return title.append(time_text.rjust(max(0, columns - title.cell_len)), ACCENT)


def _bars(snapshot: GroupSnapshot, columns: int, look: Look, is_last: bool) -> list[Text]:
    bars = [
        ("properties", snapshot.done, snapshot.properties, GOOD, ""),
        ("days", snapshot.days, snapshot.days_planned, GOOD, ""),
    ]
    if not is_last:
        for each, name in zip(snapshot.quotas, ("account", "project"), strict=False):
            is_near = each.used >= APPROACHING_SHARE * each.limit
            style = WARN if is_near else ACCENT
            bars.append((name, each.used, each.limit, style, " a minute"))
    texts = [
        f"{part:,} of {whole:,}{unit} {_share(part, whole):4.0%}"
        for _, part, whole, _, unit in bars
    ]
    text_width = max(map(len, texts))
    bar_width = max(4, columns - MARGIN - 2 - text_width)
    return [
        Text(name.ljust(MARGIN), DIM)
        .append_text(look.bar(bar_width, (_share(part, whole), style)))
        .append("  ")
        .append(text.rjust(text_width), STRONG)
        for (name, part, whole, style, _), text in zip(bars, texts, strict=True)
    ]


def _names(snapshot: GroupSnapshot) -> list[Text]:
    if not snapshot.running:
        return []
    names = ", ".join(map(one_line, snapshot.running[:MAX_NAMES]))
    if len(snapshot.running) > MAX_NAMES:
        names += f" and {len(snapshot.running) - MAX_NAMES:,} more"
    return [Text("now".ljust(MARGIN), DIM).append(names, "")]


def _counts(snapshot: GroupSnapshot) -> Text:
    pairs = [
        ("pages", f"{snapshot.pages:,}"),
        ("rows", f"{snapshot.rows:,}"),
        ("rows/s", f"{snapshot.rows_per_second:,.0f}"),
        ("requests/min", f"{snapshot.queries_per_minute:,}"),
        ("workers", f"{snapshot.workers:,}"),
    ]
    line = Text(" " * MARGIN)
    for name, value in pairs:
        line.append(f"{name} ", DIM).append(f"{value}   ")
    if snapshot.failed:
        line.append("not complete ", DIM).append(f"{snapshot.failed:,}   ", BAD)
    if snapshot.retries:
        reasons = ", ".join(f"{name} {count:,}" for name, count in snapshot.retry_reasons[:3])
        line.append("retried ", DIM).append(f"{snapshot.retries:,} ({reasons})", WARN)
    line.rstrip()
    return line


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 1.0
