"""Figures of matplotlib as SVG elements that belong to a page: its colours, its font, its width.

Colours. A figure is drawn in the colours of `COLOURS`, which stand for variables of the page's
style sheet and are replaced by them; so one drawing is right in light and in dark.

Size. An SVG that is scaled down takes its text along. So each chart is drawn for a phone and for
wider windows, and the style sheet shows the drawing that fits.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import Any

import attrs
import matplotlib as mpl
from matplotlib.figure import Figure

INK, MUTED, GRID = "#010101", "#020202", "#030303"
BLUE, AMBER, RED, GREEN, VIOLET = "#040404", "#050505", "#060606", "#070707", "#080808"
COLOURS = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    BLUE: "blue",
    AMBER: "amber",
    RED: "red",
    GREEN: "green",
    VIOLET: "violet",
}
"""The variable of the style sheet for which each stands."""

_POINTS_PER_INCH = 72
"""An SVG of matplotlib measures in these; a page shows them as its pixels."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same layout on every machine
    "font.size": 11,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.linewidth": 1,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.color": GRID,
    "ytick.labelcolor": MUTED,
    "ytick.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.02,
    "figure.constrained_layout.w_pad": 0.02,
}


@attrs.frozen
class Size:
    """How large a drawing is, in pixels of the page, and which class shows it."""

    name: str
    width: int
    height: int


def draw(name: str, title: str, size: Size, paint: Callable[[Figure], None]) -> str:
    """A figure as an SVG element to put into a page.

    Args:
        name: of the chart; makes the element's ids its own.
        title: what is shown, for those who do not see it.
        size: of the drawing.
        paint: draws into an empty figure, in `COLOURS`.
    """
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(size.width / _POINTS_PER_INCH, size.height / _POINTS_PER_INCH))
        paint(figure)
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return _for_page(file.getvalue(), f"{name}-{size.name}", title, size)


def _for_page(svg: str, name: str, title: str, size: Size) -> str:
    content = svg[svg.index("<defs>") : svg.rindex("</svg>")]
    content = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", content, flags=re.DOTALL)
    # Two drawings in one page must not share ids: those of one that is hidden count for nothing.
    content = re.sub(r'(id="|"#|url\(#)', rf"\1{name}-", content)
    content = re.sub(r"font: ([^;\"']*px)[^;\"]*", r"font-size: \1", content)
    for colour, variable in COLOURS.items():
        content = content.replace(colour, f"var(--{variable})")
    content = re.sub(r"\s*\n\s*", "\n", content)
    return (
        f'<svg class="{size.name}" viewBox="0 0 {size.width} {size.height}" role="img" '
        f'aria-label="{escape(title)}">{content}</svg>'
    )
