"""The settings: one frozen class, each with its type, range, unit and documentation in one place.

Values come, in rising order of precedence, from the defaults, a profile, a TOML file, environment
variables ``GSC_TRIO_*`` and keyword arguments (the command line's flags). Everything else reads
this class: the command line makes its options from it, and ``playbook/QUICK_REFERENCE.md`` is
tested against it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import attrs

from gsc_trio.errors import UsageError

ENVIRONMENT_PREFIX = "GSC_TRIO_"

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "dev": {"max_concurrency": 2},
    "prod": {"max_concurrency": 3},
    "sequential": {"max_concurrency": 1},
}
"""Named starting points; every other source overrides them."""


def _setting(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    secret: bool = False,
) -> Any:
    return attrs.field(
        default=default,
        kw_only=True,
        repr=not secret,
        metadata={"help": text, "minimum": minimum, "maximum": maximum, "secret": secret},
    )


@attrs.frozen
class Settings:
    """Everything that can be set, validated.

    Raises:
        UsageError: a value is out of its range; the message names the setting and the range.
    """

    max_concurrency: int = _setting(
        3, "How many workers fetch at once. 1 is the plain sequential loop.", minimum=1, maximum=100
    )
    batch_size: int = _setting(
        50,
        "How many queries go into one HTTP batch. 1 sends plain queries.",
        minimum=1,
        maximum=1_000,
    )
    max_queue_size: int = _setting(
        1_000, "How many jobs may wait in the queue.", minimum=1, maximum=1_000_000
    )
    max_in_flight: int | None = _setting(
        None,
        "How many jobs may be taken and not yet committed. By default "
        "2 × batch_size × max_concurrency.",
        minimum=1,
        maximum=1_000_000,
    )
    max_waiting_bytes: int = _setting(
        64 * 1024 * 1024,
        "How many bytes of answers may wait in memory for their turn to be written; what is over "
        "it waits in a temporary file, and reading stops when the database is what is slow.",
        minimum=1,
        maximum=1 << 40,
    )
    queries_per_minute: int = _setting(
        1_200,
        "The quota per site and per user, in queries in any 60 seconds.",
        minimum=1,
        maximum=1_000_000,
    )
    project_queries_per_minute: int = _setting(
        40_000,
        "The quota per Google Cloud project, in queries in any 60 seconds.",
        minimum=1,
        maximum=10_000_000,
    )
    burst_queries_per_second: int | None = _setting(
        None,
        "A cap on the queries in any one second, beside the minute's. By default there is none.",
        minimum=1,
        maximum=1_000_000,
    )
    connect_timeout_seconds: float = _setting(
        10.0, "How long opening a connection may take, in seconds.", minimum=0.001, maximum=3_600
    )
    read_timeout_seconds: float = _setting(
        120.0,
        "How long an answer may stay silent before it counts as lost, in seconds.",
        minimum=0.001,
        maximum=3_600,
    )
    retry_budget: int = _setting(
        30,
        "How many failed HTTP requests a run can stand in reserve: each costs one, and every ten "
        "pages answered give one back. When it is used up, the run halts with the cause.",
        minimum=0,
        maximum=1_000_000,
    )
    retry_initial_seconds: float = _setting(
        1.0,
        "The longest wait after a first failure, in seconds; it doubles with each failure in a "
        "row, and the wait is drawn at random below it (full jitter).",
        minimum=0.0,
        maximum=3_600,
    )
    retry_maximum_seconds: float = _setting(
        60.0, "What that doubling stops at, in seconds.", minimum=0.0, maximum=3_600
    )
    load_quota_pause_seconds: float = _setting(
        900.0,
        "How long all workers pause when the load quota is used up, before one query probes it, "
        "in seconds.",
        minimum=0.0,
        maximum=86_400,
    )
    max_worker_crashes: int = _setting(
        3, "How many crashed workers a run survives; at the next one it halts.", minimum=0,
        maximum=1_000,
    )  # fmt: skip
    empty_result_limit: int | None = _setting(
        None,
        "Halt after this many days in a row without rows, counted from the newest day to the "
        "oldest: the property's history begins there. By default every day is asked for.",
        minimum=1,
        maximum=10_000,
    )
    grace_seconds: float = _setting(
        4.0,
        "How long a halt may take to write pages that were already answered, in seconds.",
        minimum=0.0,
        maximum=3_600,
    )
    api_root: str = _setting(
        "https://searchconsole.googleapis.com", "The address of the Search Console API."
    )
    batch_path: str = _setting("/batch", "The path of the batch method below the address.")
    access_token: str | None = _setting(
        None, "An OAuth 2.0 access token. Better given by the environment.", secret=True
    )

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(Settings):
            _check_range(field, getattr(self, field.name))
        parts = urlsplit(self.api_root)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"api_root is {self.api_root!r}: use an address that begins with https:// "
                "or http://"
            )
        if not self.batch_path.startswith("/"):
            raise UsageError(f"batch_path is {self.batch_path!r}: begin it with /")

    @property
    def in_flight_limit(self) -> int:
        """``max_in_flight``, or what follows from batch size and concurrency."""
        if self.max_in_flight is not None:
            return self.max_in_flight
        return 2 * self.batch_size * self.max_concurrency


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
        UsageError: an unreadable file, an unknown key, profile or variable, a value of the wrong
            type or out of its range. The message names the source.
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
        loaded = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the settings file {path} is not valid TOML: {error}") from None
    values: dict[str, Any] = {}
    for name, value in loaded.items():
        if name == "profile":
            if not isinstance(value, str):
                raise UsageError(f"profile in {path} must be a string")
            values[name] = value
            continue
        values[name] = _checked_type(name, value, f"{name} in {path}")
    return values


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in attrs.fields(Settings):
        variable = f"{ENVIRONMENT_PREFIX}{field.name.upper()}"
        text = environment.get(variable)
        if text:
            values[field.name] = _parsed(field.name, text, variable)
    return values


def setting_type(name: str) -> type:
    """The plain type of a setting: int, float or str (None is how "not given" is said)."""
    hint = get_type_hints(Settings)[name]
    return next(kind for kind in (int, float, str) if kind is hint or hint == kind | None)


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a string"}


def _parsed(name: str, text: str, source: str) -> Any:
    kind = setting_type(name)
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{source} is {text!r}: it must be {_TYPE_NAMES[kind]}") from None


def _checked_type(name: str, value: Any, source: str) -> Any:
    if name not in attrs.fields_dict(Settings):
        known = ", ".join(("profile", *attrs.fields_dict(Settings)))
        raise UsageError(f"unknown setting {source}: the settings are {known}")
    kind = setting_type(name)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"{source} is {value!r}: it must be {_TYPE_NAMES[kind]}")
    return value


def _check_range(field: attrs.Attribute[Any], value: Any) -> None:
    minimum, maximum = field.metadata["minimum"], field.metadata["maximum"]
    if value is None or minimum is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        kind = _TYPE_NAMES[setting_type(field.name)]
        raise UsageError(f"{field.name} is {value!r}: it must be {kind}")
    if not minimum <= value <= maximum:
        raise UsageError(f"{field.name} is {value:g}: use {minimum:,g} to {maximum:,g}")
