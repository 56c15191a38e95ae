"""The machine that figures come from, in a few words: nothing that names it or its user."""

from __future__ import annotations

import math
import os
import platform
import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path

import psutil

Machine = dict[str, str | int | float]
"""Facts by name."""


def describe_machine() -> Machine:
    """What matters to the figures."""
    return {
        "cores": usable_cores(),
        "cpu": _cpu_model(),
        "memory_gigabytes": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(Path(tempfile.gettempdir())),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "gsc_trio": version("gsc-trio"),
        "trio": version("trio"),
        "httpx": version("httpx"),
        "msgspec": version("msgspec"),
        "load_average": round(os.getloadavg()[0], 1),
    }


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seconds_of_waiting_for_a_core() -> float:
    """For how long since its start something on the machine waited for a core.

    From Linux's pressure stall information; not a number where there is none.
    """
    try:
        line = Path("/proc/pressure/cpu").read_text().splitlines()[0]
    except OSError:
        return math.nan
    return int(line.rpartition("total=")[2]) / 1e6


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    """The type of the file system that databases are written to, as ``ext4``."""
    folder = folder.resolve()
    holders = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.is_relative_to(partition.mountpoint)
    ]
    return max(holders, key=lambda each: len(each.mountpoint)).fstype if holders else "unknown"
