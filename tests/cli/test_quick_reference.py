"""The quick reference names every setting as the code has it, and its SQL runs."""

from __future__ import annotations

from pathlib import Path

import attrs

from gsc_trio.cli.options import setting_flag
from gsc_trio.config import PROFILES, Settings, environment_variable, setting_range

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
