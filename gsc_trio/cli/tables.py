"""Tables for a terminal: aligned columns, as wide as they need to be; no value is ever broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gsc_trio.cli.output import one_line

Side = Literal["left", "right"]


def aligned_table(columns: Mapping[str, Side], rows: Iterable[Sequence[str]]) -> str:
    """A table as text.

    Args:
        columns: each title, and the side on which its cells are aligned.
        rows: cells in the order of the columns; control characters become spaces.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title, side in columns.items():
        table.add_column(title, justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console = Console(width=10_000, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
