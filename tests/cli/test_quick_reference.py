"""The quick reference names every setting as the code has it, and its SQL runs."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs
from click.testing import Result

from gsc_trio.cli.commands import MODULES
from gsc_trio.cli.options import setting_flag
from gsc_trio.config import Settings, setting_range
from gsc_trio.config_sources import PROFILES, environment_variable

SITE = "sc-domain:example.com"
QUICK_REFERENCE = Path(__file__).parents[2] / "playbook" / "QUICK_REFERENCE.md"


def expected_row(name: str) -> str:
    field = attrs.fields_dict(Settings)[name]
    default = field.default
    if isinstance(default, int | float):
        default = f"{default:,}".removesuffix(".0")
    cells = (
        f"`{name}`",
        "–" if default is None else f"{default}",
        f"`{environment_variable(name)}`",
        f"`{setting_flag(name)}`" if field.metadata["has_flag"] else "–",
        setting_range(name) or "–",
        field.metadata["help"],
    )
    return f"| {' | '.join(cells)} |"


def table_rows(heading: str) -> list[str]:
    text = QUICK_REFERENCE.read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_the_settings_table_is_the_settings_class() -> None:
    expected = [expected_row(field.name) for field in attrs.fields(Settings)]
    assert table_rows("Settings") == expected


def test_the_profiles_table_is_that_of_the_code() -> None:
    expected = [
        f"| `{name}` | {', '.join(f'`{key}` {value}' for key, value in values.items())} |"
        for name, values in PROFILES.items()
    ]
    assert [row.rsplit(" | ", 1)[0] + " |" for row in table_rows("Profiles")] == expected


def test_the_commands_table_names_every_command() -> None:
    named = [row.split("`")[1].split()[1] for row in table_rows("Commands") if "gsc-trio" in row]
    assert sorted(named) == sorted(MODULES)


def test_the_views_table_is_that_of_the_database_and_the_sql_runs(
    run_cli: Callable[..., Result], api_root: str
) -> None:
    run_cli("backfill", SITE, "--db", "gsc.db", "--days", 40, "--api-root", api_root)
    with closing(sqlite3.connect("gsc.db")) as connection:
        for row in table_rows("The database"):
            _, view, _, *columns = row.split("`")
            described = connection.execute(f"SELECT * FROM {view}").description
            assert columns[::2] == [name for name, *_ in described]
        queries = re.findall(r"```sql\n(.*?)```", QUICK_REFERENCE.read_text("utf-8"), re.DOTALL)
        assert len(queries) == 5
        for sql in queries:
            connection.execute(sql).fetchall()
        assert connection.execute(queries[0]).fetchall()
        assert connection.execute(queries[1]).fetchall()
