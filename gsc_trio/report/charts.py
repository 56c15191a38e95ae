"""The charts of a run: each is a function that paints its series into a figure of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gsc_trio.report.drawing import (
    AMBER,
    BLUE,
    GREEN,
    INK,
    MUTED,
    RED,
    VIOLET,
    Size,
    draw,
)
from gsc_trio.report.record import RunRecord

_PIXELS_PER_TICK = 90
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200)
_DAY_SECONDS = 86_400


Legend = Sequence[tuple[str, str]]
"""What is shown in which colour of the style sheet: colour, text."""


@attrs.frozen
class Chart:
    """A chart of the page."""

    name: str
    title: str
    legend: Legend
    svgs: Sequence[str]
    """The same drawing for windows of different widths."""
    is_wide: bool
    """Whether it takes the page's whole width, where there is room for two."""


@attrs.frozen
class _Plan:
    """What a chart is, whatever the run."""

    name: str
    title: str
    paint: Callable[[Axes, RunRecord], None]
    is_needed: Callable[[RunRecord], object]
    """Whether there is something to show."""
    legend: Legend = ()
    is_wide: bool = False


def draw_charts(record: RunRecord) -> list[Chart]:
    """All charts that have something to show."""
    return [_draw(plan, record) for plan in _PLANS if plan.is_needed(record)]


def _draw(plan: _Plan, record: RunRecord) -> Chart:
    sizes = [Size("narrow", 320, 200), Size("middle", 520, 220)]
    if plan.is_wide:
        sizes.append(Size("broad", 1_060, 260))

    def on(size: Size) -> Callable[[Figure], None]:
        def paint_figure(figure: Figure) -> None:
            axes = figure.subplots()
            _prepare(axes, record, size.width)
            plan.paint(axes, record)
            axes.set_ylim(0, 1.08 * axes.dataLim.ymax or 1.0)

        return paint_figure

    legend = [(colour, _legend_text(text, record)) for colour, text in plan.legend]
    return Chart(
        name=plan.name,
        title=plan.title,
        legend=[(colour, text) for colour, text in legend if text],
        svgs=[draw(plan.name, plan.title, size, on(size)) for size in sizes],
        is_wide=plan.is_wide,
    )


def _legend_text(text: str, record: RunRecord) -> str:
    if text == _PAUSED and not record.pauses:
        return ""
    return text.format(quota=record.limits.queries_per_minute)


# What each one shows.


def _paint_queries(axes: Axes, record: RunRecord) -> None:
    _shade_pauses(axes, record)
    _paint_area(axes, record, record.series.queries_per_minute, BLUE)
    axes.axhline(record.limits.queries_per_minute, color=RED, linestyle=(0, (5, 3)), linewidth=1.5)


def _paint_latencies(axes: Axes, record: RunRecord) -> None:
    points = record.series.latencies
    across = [min(point.seconds, _duration(record)) for point in points]
    for colour, name in ((AMBER, "p99"), (VIOLET, "p95"), (BLUE, "p50")):
        figures = [getattr(point, name) for point in points]
        axes.plot(across, figures, "o-", color=colour, markersize=3, linewidth=1.5, clip_on=False)


def _paint_rows(axes: Axes, record: RunRecord) -> None:
    seconds = record.series.slot_seconds
    # Pages are committed in bursts: what is shown is an average over some slots.
    width = max(1, len(record.series.rows) // 40)
    groups = range(0, len(record.series.rows), width)
    speeds = [sum(record.series.rows[at : at + width]) / (width * seconds) for at in groups]
    lefts = [at * seconds for at in groups]
    axes.bar(lefts, speeds, 0.8 * width * seconds, align="edge", color=GREEN)


def _paint_jobs(axes: Axes, record: RunRecord) -> None:
    _paint_area(axes, record, record.series.in_flight, BLUE)
    _paint_line(axes, record, record.series.queue_depth, AMBER)


def _paint_memory(axes: Axes, record: RunRecord) -> None:
    _paint_line(axes, record, [each / 1e6 for each in record.series.resident_bytes], BLUE)
    _paint_area(axes, record, [each / 1e6 for each in record.series.waiting_bytes], AMBER)


def _paint_trouble(axes: Axes, record: RunRecord) -> None:
    series = record.series
    _shade_pauses(axes, record)
    axes.stairs(series.refused, _edges(record), color=RED, fill=True)
    # As an outline: what was refused is asked for again, and would hide what it equals.
    axes.stairs(series.retries, _edges(record), color=AMBER, linewidth=1.8)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=2))


_PAUSED = "paused"

_PLANS: Sequence[_Plan] = (
    _Plan(
        "queries",
        "Queries in any 60 seconds",
        _paint_queries,
        lambda record: record.summary.requests,
        [("blue", "queries sent"), ("red", "quota: {quota:,}"), ("muted", _PAUSED)],
        is_wide=True,
    ),
    _Plan(
        "latency",
        "Seconds a query",
        _paint_latencies,
        lambda record: record.series.latencies,
        [("blue", "p50"), ("violet", "p95"), ("amber", "p99")],
    ),
    _Plan("rows", "Rows stored, a second", _paint_rows, lambda record: record.summary.rows),
    _Plan(
        "jobs",
        "Queue and jobs in flight",
        _paint_jobs,
        lambda record: record.peaks.in_flight,
        [("blue", "in flight"), ("amber", "queue")],
    ),
    _Plan(
        "memory",
        "Memory, MB",
        _paint_memory,
        lambda record: record.peaks.resident_bytes,
        [("blue", "resident"), ("amber", "answers that wait")],
    ),
    _Plan(
        "trouble",
        "Retries and pauses",
        _paint_trouble,
        lambda record: record.summary.retries or record.pauses or record.refused,
        [("amber", "jobs asked for again"), ("red", "queries refused"), ("muted", _PAUSED)],
        is_wide=True,
    ),
)


# How it is drawn.


def _paint_line(axes: Axes, record: RunRecord, levels: Sequence[float], colour: str) -> None:
    axes.stairs(levels, _edges(record), color=colour, linewidth=1.8, baseline=None)


def _paint_area(axes: Axes, record: RunRecord, levels: Sequence[float], colour: str) -> None:
    axes.stairs(levels, _edges(record), color=colour, fill=True, alpha=0.18)
    _paint_line(axes, record, levels, colour)


def _shade_pauses(axes: Axes, record: RunRecord) -> None:
    """A band wherever queries had to wait since Google had asked for that."""
    seconds = record.series.slot_seconds
    begin = None
    for number, paused in enumerate([*record.series.paused_seconds, 0.0]):
        if paused and begin is None:
            begin = number
        elif not paused and begin is not None:
            axes.axvspan(begin * seconds, number * seconds, color=MUTED, alpha=0.2, linewidth=0)
            begin = None


def _edges(record: RunRecord) -> list[float]:
    """The bounds of the slots; the last one ends with the run."""
    seconds, count = record.series.slot_seconds, len(record.series.queries)
    return [number * seconds for number in range(count)] + [_duration(record)]


def _duration(record: RunRecord) -> float:
    """The run's length, but never so short that its last slot would have none."""
    seconds, count = record.series.slot_seconds, len(record.series.queries)
    return max(record.summary.duration_seconds, (count - 0.5) * seconds)


def _prepare(axes: Axes, record: RunRecord, width: int) -> None:
    duration = _duration(record)
    step = tick_step(duration, max(2, width // _PIXELS_PER_TICK))
    axes.set_xlim(0, duration)
    axes.set_xticks([number * step for number in range(int(duration / step) + 1)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock_text(seconds)))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=3))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: _level_text(level)))
    axes.tick_params(colors=INK, labelcolor=MUTED, length=0, pad=6)


def tick_step(duration: float, count: int) -> float:
    """How far ticks lie apart, in seconds, so that there are no more than so many."""
    for step in _STEPS:
        if duration / step <= count:
            return step
    return _DAY_SECONDS * -(-duration // (_DAY_SECONDS * count))


def clock_text(seconds: float) -> str:
    """Time since the run began: ``0:05``, ``1:30:00``, ``2 d``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48 and not minute:
        return f"{hours / 24:g} d"
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _level_text(level: float) -> str:
    if level >= 1e6:
        return f"{level / 1e6:g} M"
    return f"{level:,.0f}" if level >= 10 or level == round(level) else f"{level:.2g}"
