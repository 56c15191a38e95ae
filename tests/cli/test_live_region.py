from __future__ import annotations

import io

import pyte
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from gsc_trio.cli.live_region import LiveRegion


class Terminal:
    """A terminal emulator with a region on it."""

    def __init__(self, width: int = 40, height: int = 12) -> None:
        self.screen = pyte.HistoryScreen(width, height, history=1_000)
        self._stream = pyte.Stream(self.screen)
        self.written: list[str] = []
        self.console = Console(file=self._file(), force_terminal=True, width=width, height=height)
        self.region = LiveRegion(self.console)

    def _file(self) -> io.StringIO:
        terminal = self

        class File(io.StringIO):
            def write(self, text: str) -> int:
                if text:
                    terminal.written.append(text)
                    terminal._stream.feed(text)
                return len(text)

        return File()

    def lines(self) -> list[str]:
        """What was ever shown and not erased, from the first line on."""
        gone = [
            "".join(row[column].data for column in range(self.screen.columns))
            for row in self.screen.history.top
        ]
        lines = [line.rstrip() for line in (*gone, *self.screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def texts(*lines: str) -> list[Text]:
    return [Text(line) for line in lines]


def test_lines_take_the_place_of_those_before_and_notes_stay_above() -> None:
    terminal = Terminal()
    terminal.region.draw(texts("one", "two", "three"))
    terminal.region.draw(texts("1", "two"), above=texts("a note"))
    terminal.region.tell(Text("another"))
    assert terminal.lines() == ["a note", "another", "1", "two"]


@given(
    st.lists(
        st.tuples(
            st.lists(st.text("abc ", max_size=39), max_size=8),
            st.lists(st.text("xyz", max_size=100), max_size=2),
        ),
        max_size=12,
    )
)
def test_whatever_is_drawn_the_last_lines_are_there_once_below_all_notes(
    steps: list[tuple[list[str], list[str]]],
) -> None:
    terminal, notes = Terminal(), list[str]()
    for lines, above in steps:
        terminal.region.draw(texts(*lines), texts(*above))
        for note in above:
            notes += [note[at : at + 40] for at in range(0, max(1, len(note)), 40)]
    last = [line.rstrip() for line in steps[-1][0]] if steps else []
    expected = [*notes, *last]
    while expected and not expected[-1]:
        expected.pop()
    assert terminal.lines() == expected


def test_a_frame_is_one_write_of_what_changed_and_none_if_nothing_did() -> None:
    terminal = Terminal()
    terminal.region.draw(texts("first", "second", "third"))
    terminal.written.clear()
    terminal.region.draw(texts("first", "2nd", "third"))
    [written] = terminal.written
    assert "2nd" in written
    assert "first" not in written
    assert "third" not in written
    terminal.region.draw(texts("first", "2nd", "third"))
    assert len(terminal.written) == 1


def test_nothing_is_erased_before_it_is_written_anew() -> None:
    """What would flicker: an empty line between two frames."""
    terminal = Terminal()
    terminal.region.draw(texts("first", "second"))
    terminal.written.clear()
    terminal.region.draw(texts("FIRST", "SECOND"), above=texts("a note"))
    [written] = terminal.written
    assert written.index("SECOND") < written.index("\x1b[J")
    assert written.startswith("\x1b[?2026h\x1b[?25l\r\x1b[2A")
    assert written.endswith("\x1b[?25h\x1b[?2026l")


def test_what_is_typed_meanwhile_is_written_over() -> None:
    terminal = Terminal()
    terminal.region.draw(texts("first", "second"))
    terminal.screen.draw("^C")
    terminal.region.draw(texts("first", "second", ""))
    assert terminal.lines() == ["first", "second"]


def test_what_comes_after_it_is_left_goes_below() -> None:
    terminal = Terminal()
    terminal.region.draw(texts("the end"))
    terminal.region.leave()
    terminal.region.tell(Text("goodbye"))
    assert terminal.lines() == ["the end", "goodbye"]


def test_after_narrowing_the_lines_that_the_terminal_broke_are_reckoned_with() -> None:
    terminal = Terminal(width=40)
    terminal.region.draw(texts("x" * 39, "short", "y" * 25))
    terminal.console.width = 20
    terminal.written.clear()
    terminal.region.draw(texts("narrow"))
    assert terminal.written[0].startswith("\x1b[?2026h\x1b[?25l\r\x1b[5A")


def test_after_widening_everything_is_drawn_anew() -> None:
    terminal = Terminal(width=40, height=12)
    terminal.region.draw(texts("one", "two"))
    terminal.screen.resize(12, 80)
    terminal.console.width = 80
    terminal.region.draw(texts("one", "wide" * 15))
    assert terminal.lines() == ["one", "wide" * 15]
