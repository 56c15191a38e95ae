"""Where settings come from, and which source wins.

In rising order of precedence: the defaults, a profile, a TOML file, environment variables
``GSC_TRIO_*``, and keyword arguments (the command line's flags). An unknown name is refused in
every source: a mis-spelt rollback must not pass for one.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from gsc_trio.config import Settings, check_setting, parse_setting
from gsc_trio.errors import UsageError
from gsc_trio.toml_lines import place_in

ENVIRONMENT_PREFIX = "GSC_TRIO_"

SYNC_TABLES = "sync"
"""The tables of a settings file that say what `gsc-trio sync` keeps up to date; they are read by
`gsc_trio.sync.targets`, and are no settings."""

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "dev": {"max_concurrency": 2},
    "prod": {"max_concurrency": 3},
    "sequential": {"max_concurrency": 1},
}
"""Named starting points; every other source overrides them."""


def environment_variable(name: str) -> str:
    """The variable that sets a setting."""
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


def load_settings(
    *,
    profile: str | None = None,
    config_file: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    **overrides: Any,
) -> Settings:
    """Put the settings together from every source.

    Args:
        profile: one of `PROFILES`; by default ``GSC_TRIO_PROFILE``, then the file's ``profile``.
        config_file: a TOML file with the settings' names as keys; by default ``GSC_TRIO_CONFIG``.
        environment: where ``GSC_TRIO_*`` variables are read from.
        **overrides: values that win over everything else; None means not given.

    Raises:
        UsageError: an unreadable file, an unknown key, profile or ``GSC_TRIO_*`` variable, a value
            of the wrong type or out of its range. The message names the source.
    """
    config_file = config_file or environment.get(f"{ENVIRONMENT_PREFIX}CONFIG")
    from_file = _read_file(Path(config_file)) if config_file else {}
    profile_in_file = from_file.pop("profile", None)
    profile = profile or environment.get(f"{ENVIRONMENT_PREFIX}PROFILE") or profile_in_file
    if profile is not None and profile not in PROFILES:
        raise UsageError(f"unknown profile {profile!r}: use one of {', '.join(PROFILES)}")
    values: dict[str, Any] = {}
    values.update(PROFILES[profile] if profile else {})
    values.update(from_file)
    values.update(_read_environment(environment))
    values.update({name: value for name, value in overrides.items() if value is not None})
    return Settings(**values)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the settings file {path}: {error.strerror}") from None
    try:
        text = content.decode()
        loaded = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {path} is not valid TOML: {error}") from None
    loaded.pop(SYNC_TABLES, None)
    known = ("profile", *attrs.fields_dict(Settings))
    for name, value in loaded.items():
        place = place_in(path, text, name)
        if name not in known:
            names = (*known, SYNC_TABLES)
            raise UsageError(f"{place}: unknown setting {name!r}: {suggestion(name, names)}")
        if name == "profile":
            if not isinstance(value, str):
                raise UsageError(f"profile in {place} is {value!r}: it must be a string")
        else:
            check_setting(name, value, f"{name} in {place}")
    return loaded


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {environment_variable(field.name): field.name for field in attrs.fields(Settings)}
    known = (f"{ENVIRONMENT_PREFIX}CONFIG", f"{ENVIRONMENT_PREFIX}PROFILE", *names)
    values: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        # A mis-spelt variable that is passed over would be a rollback that did not happen.
        if variable not in known:
            raise UsageError(f"unknown variable {variable}: {suggestion(variable, known)}")
        if variable in names and text:
            values[names[variable]] = parse_setting(names[variable], text, variable)
    return values


def suggestion(name: str, known: Iterable[str]) -> str:
    """What may have been meant by a name that does not exist."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
