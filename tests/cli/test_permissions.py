"""A database that can only be read: refused in one line, read all the same, and none the worse."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import SITE
from tests.cli.test_processes import GSC_TRIO

AS_ANYBODY = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] * (os.geteuid() == 0)
"""Gives up root's right to pass over permissions; whoever is not root does not have it."""


def gsc_trio(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AS_ANYBODY, *GSC_TRIO, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_can_only_be_read_is_refused_and_read_and_goes_on_when_it_can_be_written(
    api_root: str, is_folder: bool
) -> None:
    folder = Path("folder")
    folder.mkdir()
    path = folder / "gsc.db"
    backfill = ("backfill", SITE, "--db", path, "--api-root", api_root, "--json", "--days")
    assert gsc_trio(*backfill, 2).returncode == 0
    place = folder if is_folder else path
    mode = place.stat().st_mode
    place.chmod(mode & ~0o222)
    try:
        refused = gsc_trio(*backfill, 3)
        [stored] = json.loads(gsc_trio("status", "--db", path, "--json").stdout)
        assert list(folder.iterdir()) == [path]
    finally:
        place.chmod(mode)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"gsc-trio: {path} cannot be written: no permission to write to {place}\n"
    )
    assert stored["days_complete"] == 2
    again = gsc_trio(*backfill, 3)
    assert (again.returncode, json.loads(again.stdout)["days"]) == (0, 1)
