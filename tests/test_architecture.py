"""The layers of playbook/IMPLEMENTATION_PLAN.md: a module imports only downwards."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gsc_trio

PACKAGE = Path(gsc_trio.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

LAYERS = [
    ["errors", "scratch_file", "toml_lines", "whole_files"],
    ["filters", "site_urls"],
    ["model"],
    ["config", "config_sources", "telemetry/", "dates", "garbage", "machine_clock", "serving"],
    ["wire/", "store/base", "quota_window"],
    ["store/", "export/", "permits", "spill", "halt", "access", "concurrency"],
    ["credentials/"],
    ["rate_limiter", "batch", "job_queue", "page_buffer", "waiting_room", "paginator"],
    ["sender"],
    ["auto_concurrency", "client", "coordinator", "crew", "delivery", "summary"],
    ["inspection", "quota_journal", "retry"],
    ["fetcher"],
    ["worker", "sequential"],
    ["backfill"],
    ["turn"],
    ["side_by_side"],
    ["many"],
    ["rollout/", "verify/", "sync/", "report/"],
    ["shards/"],
    ["__init__"],
    ["testing/"],
    ["cli/"],
]


def layer_of(module: str) -> int:
    for number, names in enumerate(LAYERS):
        for name in names:
            if module == f"{name}.py" or (name.endswith("/") and module.startswith(name)):
                if module == "store/base.py" and name == "store/":
                    continue
                return number
    raise AssertionError(f"{module} is in no layer: put it into the one it belongs to")


def imports_of(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def module_of(name: str) -> str | None:
    """The file of an import of ours."""
    if name.split(".", maxsplit=1)[0] != "gsc_trio":
        return None
    path = name.removeprefix("gsc_trio").strip(".").replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
        if candidate in MODULES:
            return candidate
    raise AssertionError(f"{name} is no module")


def test_the_plan_says_what_every_module_is() -> None:
    plan = (PACKAGE.parent / "playbook" / "IMPLEMENTATION_PLAN.md").read_text("utf-8")
    rows = "".join(line for line in plan.splitlines() if line.startswith("| "))
    named = {module.partition("/")[0].removesuffix(".py") for module in MODULES} - {"__init__"}
    known = {name.removesuffix("/") for name in re.findall(r"`([\w/]+)`", rows)}
    assert named <= known


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_downwards(module: str) -> None:
    for name in imports_of(module):
        imported = module_of(name)
        if imported is not None and imported != module:
            assert layer_of(imported) <= layer_of(module), f"{module} imports {imported}"


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        ("wire/", {"trio", "httpx", "sqlite3"}),
        ("coordinator.py", {"httpx", "sqlite3", "sqlite_utils"}),
        ("sequential.py", {"httpx", "sqlite3", "sqlite_utils"}),
    ],
)
def test_what_must_not_know_the_outside_world_does_not(modules: str, forbidden: set[str]) -> None:
    chosen = [module for module in MODULES if module.startswith(modules)]
    assert chosen
    for module in chosen:
        assert forbidden.isdisjoint(name.split(".")[0] for name in imports_of(module)), module
