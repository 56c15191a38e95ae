"""A command loads no more than it needs, and lets threads take turns quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gsc_trio.cli.interpreter import SWITCH_SECONDS

CHILD = """
import sys

sys.path.insert(0, sys.argv[1])
if "before" in sys.argv:
    import pandas

from gsc_trio.cli.interpreter import set_up_interpreter

set_up_interpreter()
import sqlite_utils.db
print("pandas" in sys.modules, "numpy" in sys.modules, sqlite_utils.db.pd is not None)
import pandas
print(pandas.__name__)
"""


@pytest.mark.parametrize(
    ("when", "expected"), [("after", "False False False"), ("before", "True False True")]
)
def test_what_is_not_needed_is_loaded_by_who_needs_it(
    tmp_path: Path, when: str, expected: str
) -> None:
    for name in ("pandas", "numpy"):
        (tmp_path / f"{name}.py").write_text("def __getattr__(name): return object")
    told = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path), when],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.splitlines() == [expected, "pandas"]


def test_every_command_begins_so(tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise SystemExit('a command has loaded pandas')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from gsc_trio.cli import main; "
        "import atexit; atexit.register(lambda: print(sys.getswitchinterval())); "
        "main(['status', '--db', 'new.db'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "there is no database at new.db" in told.stderr
    assert "pandas" not in told.stderr
    assert float(told.stdout) == pytest.approx(SWITCH_SECONDS)
