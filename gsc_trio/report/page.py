"""A run's record as one HTML page that needs nothing beside itself: no script, no network.

Whatever comes from outside (a property's name, what Google wrote in an error) is escaped by
Jinja and freed of what cannot be printed; a browser that obeys the page's content security policy
would neither run nor load anything.

Needs ``gsc-trio[report]``: matplotlib and Jinja.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.resources import files

import jinja2
from markupsafe import Markup

from gsc_trio.report.calendar import STATE_TEXTS, counts, months, skipped
from gsc_trio.report.charts import clock_text, draw_charts
from gsc_trio.report.file import GENERATOR
from gsc_trio.report.quantiles import Quantiles
from gsc_trio.report.record import RunRecord
from gsc_trio.report.verdict import judge, megabytes, verdict_text


def render(record: RunRecord) -> str:
    """The page, in HTML."""
    checks = judge(record)
    return _template().render(
        record=record,
        summary=record.summary,
        generator=GENERATOR,
        version=version("gsc-trio"),
        style=Markup(_read("page.css")),  # noqa: S704 - a file of this package
        checks=checks,
        verdict=verdict_text(checks),
        is_good=all(check.holds is not False for check in checks),
        charts=[(chart, [Markup(svg) for svg in chart.svgs]) for chart in draw_charts(record)],  # noqa: S704 - made by `gsc_trio.report.drawing`
        latencies=_latencies(record),
        months=months(record.days),
        counts=counts(record.days),
        states=STATE_TEXTS,
        skipped=skipped(record),
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "seconds": _seconds_text,
        "clock": clock_text,
        "megabytes": megabytes,
    }
    return environment.from_string(_read("page.html"))


def _read(name: str) -> str:
    return files("gsc_trio.report").joinpath(name).read_text("utf-8")


def _printable(value: object) -> object:
    """Text without control characters, among them those that turn its direction."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "".join(letter if letter.isprintable() else " " for letter in value)
    return value


def _latencies(record: RunRecord) -> list[tuple[str, Quantiles]]:
    latencies = record.latencies
    named = [
        ("HTTP requests", latencies.requests),
        ("queries", latencies.queries),
        ("commits", latencies.commits),
    ]
    return [(name, quantiles) for name, quantiles in named if quantiles.count]


def _seconds_text(seconds: float) -> str:
    """A duration to three figures, in the unit that fits."""
    if seconds < 1:
        return f"{seconds * 1_000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else clock_text(seconds)
