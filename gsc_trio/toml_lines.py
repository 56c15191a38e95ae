"""In which line of a TOML file a key is, for messages: the parser does not tell.

It looks at lines one by one, so a key in an inline table is not found; then the message goes
without a line. What the file means is the parser's business alone.
"""

from __future__ import annotations

import re


def line_of(text: str, key: str, *, table: str = "", index: int = 0) -> int | None:
    """The number of a key's line, from 1; None if it is not on a line of its own.

    Args:
        text: the file's text.
        key: the key.
        table: the name of the array of tables it is in; empty for the top of the file.
        index: which of those tables, from 0; that of ``key`` being ``table`` is its header.
    """
    here, number_of_table = "", -1
    quoted = re.escape(key)
    assignment = re.compile(rf"""\s*(?:{quoted}|"{quoted}"|'{quoted}')\s*[=.]""")
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?\s*([^\[\]]+?)\s*\]", line):
            here = header[1].strip("\"'")
            number_of_table += here == table
            is_wanted = here.split(".")[0] == key and not table
            if is_wanted or (here == table == key and number_of_table == index):
                return number
        elif here == table and (not table or number_of_table == index) and assignment.match(line):
            return number
    return None


def place_in(path: object, text: str, key: str, *, table: str = "", index: int = 0) -> str:
    """The file and the line, as messages name them."""
    number = line_of(text, key, table=table, index=index)
    return f"{path}, line {number}" if number else f"{path}"
