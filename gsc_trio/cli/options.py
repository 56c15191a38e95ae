"""Flags that several commands have; those of settings are made from `gsc_trio.config.Settings`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from gsc_trio.cli.stores import LocationType, PathOnly
from gsc_trio.config import Settings, parse_setting, setting_range, setting_type
from gsc_trio.config_sources import PROFILES
from gsc_trio.errors import UsageError

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_PLACEHOLDERS = {int: "N", float: "SECONDS"}
_NAMED_PLACEHOLDERS = {"access_token": "TOKEN", "account": "NAME", "key_file": "FILE"}


def setting_flag(name: str) -> str:
    """The command line's flag for a setting."""
    return f"--{name.replace('_', '-')}"


def settings_with_flags() -> list[str]:
    """The settings that have a flag, in the order in which they are declared."""
    return [field.name for field in attrs.fields(Settings) if field.metadata["has_flag"]]


wait_option = click.option(
    "--wait",
    "waits_for_database",
    is_flag=True,
    help="When another process writes to the database, wait until it has ended.",
)

progress_option = click.option(
    "--progress/--no-progress",
    "wants_progress",
    default=True,
    show_default=True,
    help="Show how it is going, on stderr.",
)

profile_option = click.option(
    "--profile", metavar="NAME", help=f"A set of settings to begin with: {', '.join(PROFILES)}."
)


def config_option(content: str = "settings") -> Decorator:
    """``--config FILE``, and what is in it."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"A TOML file with {content}; by default the one that GSC_TRIO_CONFIG names.",
    )


def database_option(
    text: str, *, is_required: bool = True, takes_addresses: bool = True
) -> Decorator:
    """``--db PATH``; it may be the address of a Postgres database, unless that makes no sense."""
    return click.option(
        "--db",
        "database",
        type=LocationType() if takes_addresses else PathOnly(),
        required=is_required,
        metavar="PATH",
        help=text,
    )


def json_option(text: str) -> Decorator:
    """``--json``, and what it prints."""
    return click.option("--json", "wants_json", is_flag=True, help=text)


def settings_options(function: Function) -> Function:
    """Give a command a flag for each of those settings; what is not given is None."""
    return settings_options_without()(function)


def settings_options_without(*names: str) -> Callable[[Function], Function]:
    """The same, but for the settings that the command sets itself."""
    chosen = [name for name in settings_with_flags() if name not in names]
    return lambda function: _with_flags(function, chosen)


def _with_flags(function: Function, names: Sequence[str]) -> Function:
    for name in reversed(names):
        field = attrs.fields_dict(Settings)[name]
        function = click.option(
            setting_flag(name),
            name,
            callback=_read_setting,
            metavar=_NAMED_PLACEHOLDERS.get(name) or _PLACEHOLDERS.get(setting_type(name), "URL"),
            help=_help_text(field),
        )(function)
    return function


def _help_text(field: attrs.Attribute[Any]) -> str:
    """What a setting does, its default and its range, as click writes them for other options."""
    facts = []
    if field.default is not None:
        facts.append(f"default: {field.default}")
    if setting_range(field.name):
        facts.append(setting_range(field.name))
    return str(field.metadata["help"]) + (f"  [{'; '.join(facts)}]" if facts else "")


def _read_setting(context: click.Context, option: click.Parameter, text: str | None) -> Any:
    if text is None or option.name is None:
        return None
    return parse_setting(option.name, text, option.opts[0])


def read_date(context: click.Context, option: click.Parameter, text: str | None) -> dt.date | None:
    """Read a date; other ISO 8601 forms are refused, since nobody means week dates."""
    if text is None:
        return None
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass  # for example February 30
    raise UsageError(f"{option.opts[0]} is {text!r}: give an existing date as YYYY-MM-DD")
