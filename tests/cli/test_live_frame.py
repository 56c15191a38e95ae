from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from gsc_trio.cli.day_states import DayState
from gsc_trio.cli.live_frame import frame
from gsc_trio.cli.look import ASCII, COLOURED, PLAIN, WARN, Look
from gsc_trio.cli.snapshot import ProgressSnapshot
from tests.cli.snapshots import START, snapshot

YEAR = {
    DayState.STORED: 100,
    DayState.TO_COME: 150,
    DayState.IN_FLIGHT: 80,
    DayState.COMMITTED: 150,
}


def lines_of(
    shown: ProgressSnapshot, width: int = 80, height: int = 24, look: Look = PLAIN, **more: Any
) -> list[str]:
    return [line.plain for line in frame(shown, width, height, look, **{"is_last": False, **more})]


def line_with(word: str, lines: list[str]) -> str:
    [line] = [line for line in lines if word in line]
    return line


# The days.


def test_a_calendar_has_a_row_for_each_weekday_and_a_column_for_each_week() -> None:
    days = {DayState.STORED: 4, DayState.TO_COME: 3, DayState.COMMITTED: 5}
    lines = lines_of(snapshot(days, start=dt.date(2026, 1, 1)))  # a Thursday
    assert lines[1:9] == [
        "       Jan",
        "Mon      · █",
        "Tue      ·",
        "Wed      ·",
        "Thu    ▓ █",
        "Fri    ▓ █",
        "Sat    ▓ █",
        "Sun    ▓ █",
    ]


def test_a_year_and_more_fits_eighty_columns_with_the_months_above_it() -> None:
    lines = lines_of(snapshot(YEAR))
    assert lines[1].split() == [
        *("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
        *("Jan", "Feb", "Mar", "Apr"),
    ]
    assert lines[5].startswith("Thu    ▓")
    assert sum(line.count("▓") for line in lines[2:9]) == 100
    assert sum(line.count("□") for line in lines[2:9]) == 80


def test_where_weeks_do_not_fit_several_days_share_a_cell_that_shows_the_least() -> None:
    days = {DayState.TO_COME: 101, DayState.COMMITTED: 379}
    lines = lines_of(snapshot(days), width=60)
    assert lines[1].startswith(
        "01 Jan " + "·" * 51 + "█"
    )  # two days a cell: the 51st has one of each
    assert lines[2].startswith(f"{START + dt.timedelta(days=2 * 52):%d %b} █")


def test_a_strip_stands_for_the_calendar_in_a_low_terminal() -> None:
    lines = lines_of(snapshot(YEAR), height=14)
    assert lines[1].startswith("01 Jan ▓")
    assert lines[2].endswith("█")
    assert lines[3].startswith("       ▓ stored before 100   █ committed 150")


@pytest.mark.parametrize(("width", "height"), [(80, 10), (40, 24), (20, 5)])
def test_a_small_terminal_gets_three_lines(width: int, height: int) -> None:
    lines = lines_of(snapshot(), width, height)
    assert len(lines) == 3
    assert lines[0].startswith("sc-domain:example")


def test_the_legend_names_what_there_is_and_how_many_days() -> None:
    lines = lines_of(snapshot({DayState.FETCHED: 2, DayState.LEFT_OUT: 3, DayState.IN_FLIGHT: 1}))
    assert line_with("left out", lines).split("   ") == [
        *("", "", " ▒ fetched 2", "□ in flight 1", "× left out 3"),
    ]


# The figures.


def test_bars_say_how_far_it_is_and_how_much_of_the_quota_is_used() -> None:
    lines = lines_of(snapshot(quota_used=960, quota_limit=1_200))
    days, quota = line_with("days ", lines), line_with("quota", lines)
    assert days.endswith("30 of 90 days  33%")
    assert quota.endswith("960 of 1,200 a minute  80%")
    assert quota.index("960") - quota.index("━") == 44 + 2
    assert quota.count("━") == int(0.8 * 44)


@pytest.mark.parametrize(("used", "warns"), [(959, False), (960, True), (1_200, True)])
def test_the_quota_warns_from_four_fifths_on(used: int, warns: bool) -> None:
    lines = frame(snapshot(quota_used=used), 80, 24, COLOURED, is_last=False)
    [quota] = [line for line in lines if line.plain.startswith("quota")]
    assert (WARN in [span.style for span in quota.spans]) == warns


def test_figures_retries_and_a_pause_are_told_with_their_reasons() -> None:
    reasons = (("load quota", 50), ("backendError", 2), ("connection", 1), ("bad answer", 1))
    text = "\n".join(
        lines_of(
            snapshot(
                pages_waiting=4,
                retries=54,
                retry_reasons=reasons,
                crashes=1,
                paused_seconds=840,
                pause_reason="load quota",
            )
        )
    )
    for words in (
        *("0:00:10, ETA 0:00:20", "pages 31 (+4 fetched)", "rows 62,000", "rows/s 1,234"),
        *("requests/min 300", "jobs queued 12", "jobs in flight 34", "workers 3", "crashes 1"),
        "retried 54 (load quota 50, backendError 2, connection 1)",
        "paused for 0:14:00 more (load quota)",
    ):
        assert words in text


def test_a_halt_says_why() -> None:
    stopping = lines_of(snapshot(status="stopping", halt_reason="interrupted by SIGINT"))
    assert line_with("stopping", stopping).strip() == "stopping: interrupted by SIGINT"


def test_the_last_frame_tells_how_it_ended_and_no_more_of_what_is_over() -> None:
    lines = lines_of(snapshot(status="complete", seconds_left=0.0), is_last=True)
    text = "\n".join(lines)
    assert lines[0].endswith("0:00:10 in all")
    assert line_with("complete", lines).strip() == "complete"
    assert "rows/s 6,200" in text  # over all of its time
    for word in ("quota", "queued", "in flight", "workers"):
        assert word not in text


# Terminals.


def any_snapshot() -> st.SearchStrategy[ProgressSnapshot]:
    number = st.integers(0, 10**7)
    return st.builds(
        snapshot,
        st.dictionaries(st.sampled_from(DayState), st.integers(1, 200), min_size=1),
        start=st.dates(dt.date(2024, 1, 1), dt.date(2027, 1, 1)),
        site=st.sampled_from(
            ["sc-domain:a.de", f"https://{'long.' * 20}example/", "sc-domain:例え.jp"]
        ),
        rows=number,
        queue_depth=number,
        quota_used=number,
        quota_limit=st.sampled_from([0, 1_200, 40_000]),
        retries=st.integers(0, 5),
        retry_reasons=st.just((("backendError", 3), ("a reason with many words in it", 2))),
        paused_seconds=st.sampled_from([0.0, 900.0]),
        status=st.sampled_from(["fetching", "stopping", "failed"]),
        halt_reason=st.sampled_from(["", "one\nline \x1b[2J", "because " * 40]),
    )


@given(
    any_snapshot(),
    st.integers(8, 200),
    st.integers(2, 60),
    st.sampled_from([COLOURED, PLAIN, ASCII]),
)
def test_every_line_is_shorter_than_any_terminal_and_there_are_fewer_than_it_has(
    shown: ProgressSnapshot, width: int, height: int, look: Look
) -> None:
    for is_last in (False, True):
        lines = frame(shown, width, height, look, is_last=is_last)
        assert 0 < len(lines) < height
        assert max(line.cell_len for line in lines) < width
        assert all(letter.isprintable() for line in lines for letter in line.plain)


def test_a_pause_retries_and_crashes_add_lines_and_never_take_the_calendar_away() -> None:
    calm, paused = snapshot(YEAR), snapshot(YEAR, paused_seconds=9.0, retries=3, crashes=1)
    assert lines_of(calm)[1:9] == lines_of(paused)[1:9]


def test_without_colours_each_state_has_its_own_letter() -> None:
    for look in (PLAIN, ASCII):
        assert len(set(look.states.values())) == len(DayState)
    shown = lines_of(snapshot(YEAR), look=ASCII)
    assert all(letter.isascii() for line in shown for letter in line)


def test_letters_of_a_bar_add_up_to_its_width() -> None:
    for share in (0.0, 0.01, 0.5, 0.999, 1.0):
        bar: Text = COLOURED.bar(20, (share, WARN), (0.2, WARN))
        assert bar.cell_len == 20
    assert PLAIN.bar(10, (0.5, WARN)).plain == "━━━━━     "
    assert PLAIN.bar(10, (0.55, WARN)).plain == "━━━━━╸    "
