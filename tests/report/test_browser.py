"""The page in a real browser: on a phone and on a desk, in light and dark, without a complaint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from gsc_trio.report.page import render
from gsc_trio.report.record import RunRecord
from tests.chromium import Chromium, needs_chromium, open_chromium
from tests.report.runs import bad_record

pytestmark = needs_chromium

SIZES = {
    "small phone": (320, 640),
    "phone": (390, 844),
    "tablet": (768, 1_024),
    "narrow desk": (1_000, 700),
    "desk": (1_280, 900),
}

_FONT_PIXELS = """
[...document.querySelectorAll('svg text, li, p, td, th, dt, dd, .found')]
  .filter(each => each.getClientRects().length)
  .map(each => {
    const svg = each.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return parseFloat(getComputedStyle(each).fontSize) * scale;
  })
"""

_CUT_OFF = """
[...document.querySelectorAll('svg')].filter(each => each.getClientRects().length).flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1
      || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  }).map(text => text.textContent);
})
"""

_SCROLLED = """
[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth)
  .map(each => each.innerText)
"""

# The contrast of text to what is behind it, by WCAG's formula.
_CONTRASTS = """
(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const [r, g, b] = channels(colour).slice(0, 3).map(each => {
      each /= 255;
      return each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const isOpaque = colour => (channels(colour)[3] ?? 1) > 0.99;
  const background = each => {
    for (let at = each; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (isOpaque(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('body *')]
    .filter(each => each.getClientRects().length
      && [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
    .map(each => {
      const style = getComputedStyle(each);
      const text = luminance(each.closest('svg') ? style.fill : style.color);
      const behind = luminance(background(each));
      const contrast = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
      return [contrast, each.textContent.trim()];
    });
})()
"""


@pytest.fixture(scope="module")
def record() -> RunRecord:
    return trio.run(bad_record, clock=MockClock(autojump_threshold=0))


@pytest.fixture(scope="module")
def page(record: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "run.html"
    path.write_text(render(record), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with open_chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_renders_without_a_complaint_at_every_size(
    size: str, scheme: str, page: Path, chromium: Chromium
) -> None:
    width, height = SIZES[size]
    chromium.open(page, width=width, height=height, scheme=scheme)
    assert chromium.complaints() == []
    assert chromium.requests() == [page.as_uri()]
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    shown = chromium.evaluate(
        "[...document.querySelectorAll('svg')].map(each => each.getClientRects().length)"
    )
    assert (sum(shown), len(shown)) == (6, 14)  # one drawing of each chart
    assert chromium.evaluate(_CUT_OFF) == []
    assert chromium.evaluate(_SCROLLED) == []
    assert min(chromium.evaluate(_FONT_PIXELS)) >= 9
    too_pale = [text for contrast, text in chromium.evaluate(_CONTRASTS) if contrast < 4.4]
    assert too_pale == []


def test_its_numbers_are_those_of_the_summary(
    record: RunRecord, page: Path, chromium: Chromium
) -> None:
    chromium.open(page, width=390, height=844)
    shown: dict[str, Any] = chromium.evaluate(
        "Object.fromEntries([...document.querySelectorAll('data')]"
        ".map(each => [each.id, [each.value, each.innerText]]))"
    )
    summary = attrs.asdict(record.summary)
    assert summary["days_fetched_again"] == 0  # such a figure is shown only if there is one
    texts = {"status", "reason", "site", "start", "end"}
    assert shown.keys() == summary.keys() - texts - {"days_fetched_again"}
    for name, (value, text) in shown.items():
        assert float(value) == summary[name]
        if name != "duration_seconds":
            assert text == f"{summary[name]:,}"
    assert chromium.evaluate("document.querySelector('#status').innerText") == "complete"
    assert chromium.evaluate("document.querySelector('h1').innerText") == record.summary.site


def test_the_dark_page_is_dark_and_has_other_colours_in_its_charts(
    page: Path, chromium: Chromium
) -> None:
    colours = []
    for scheme in ("light", "dark"):
        chromium.open(page, width=1_280, height=900, scheme=scheme)
        colours.append(
            chromium.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " ...[...document.querySelectorAll('svg path')]"
                ".map(each => getComputedStyle(each).stroke)]"
            )
        )
    light, dark = colours
    assert light[0] == "rgb(246, 247, 249)"
    assert dark[0] == "rgb(14, 19, 25)"
    assert set(light).isdisjoint(set(dark) - {"none"})
    # All of matplotlib's own colours were replaced.
    assert not any(each.startswith(f"rgb({n}, {n}, {n}") for each in light for n in range(9))
