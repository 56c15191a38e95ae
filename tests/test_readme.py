"""The README's example runs as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import trio

from gsc_trio.testing import FakeSearchConsole, SimulatedProperty, serve_fake_search_console

README = Path(__file__).parent.parent / "README.md"


async def test_the_library_example_runs_and_is_under_15_lines() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) < 15
    fake = FakeSearchConsole([SimulatedProperty("sc-domain:example.com", rows_per_day=20)])
    async with serve_fake_search_console(fake) as api_root:
        environment = {**os.environ, "GSC_TRIO_API_ROOT": api_root, "GSC_TRIO_ACCESS_TOKEN": "x"}
        done = await trio.run_process(
            [sys.executable, "-c", example],
            env=environment,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
        )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    assert output.count("from row 0") == 30
    assert output.splitlines()[-1].strip() == "complete"
