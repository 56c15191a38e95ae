"""The settings: one frozen class, each with its type, range, unit and documentation in one place.

`gsc_trio.config_sources` puts them together from files and the environment. Everything else reads
this class: the command line makes its options from it, and ``playbook/QUICK_REFERENCE.md`` is
tested against it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import attrs

from gsc_trio.errors import UsageError

HIGHEST_CONCURRENCY = 100
"""As many workers as there may be."""

AUTO_BEGINS_WITH = 3
"""How many workers ``max_concurrency = "auto"`` has at first."""


def _setting(
    default: Any,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    word: str | None = None,
    has_flag: bool = False,
    is_secret: bool = False,
) -> Any:
    return attrs.field(
        default=default,
        kw_only=True,
        repr=not is_secret,
        metadata={
            "help": text,
            "minimum": minimum,
            "maximum": maximum,
            "word": word,
            "has_flag": has_flag,
            "is_secret": is_secret,
        },
    )


@attrs.frozen
class Settings:
    """Everything that can be set, validated.

    Raises:
        UsageError: a value is out of its range; the message names the setting and the range.
    """

    max_concurrency: int | Literal["auto"] = _setting(
        3,
        "How many workers fetch at once. 1 is the plain sequential loop. auto begins with 3 and "
        "adds one after the other, for as long as less than 80 % of the quota is used, answers "
        "come as fast as before, and Google refuses nothing.",
        minimum=1,
        maximum=HIGHEST_CONCURRENCY,
        word="auto",
        has_flag=True,
    )
    batch_size: int = _setting(
        50,
        "How many queries go into one HTTP batch. 1 sends plain queries.",
        minimum=1,
        maximum=1_000,
        has_flag=True,
    )
    max_queue_size: int = _setting(
        1_000,
        "How many jobs may wait in the queue.",
        minimum=1,
        maximum=1_000_000,
        has_flag=True,
    )
    max_in_flight: int | None = _setting(
        None,
        "How many jobs may be taken and not yet committed. By default "
        "2 × batch_size × max_concurrency.",
        minimum=1,
        maximum=1_000_000,
        has_flag=True,
    )
    max_waiting_bytes: int = _setting(
        16 * 1024 * 1024,
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
        has_flag=True,
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
        "How many failed HTTP requests a run can stand in reserve for each worker: each costs one, "
        "and every ten pages answered give one back. When it is used up, or when as many pauses "
        "for being too fast have brought no answer, the run halts with the cause.",
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
        "https://searchconsole.googleapis.com",
        "The address of the Search Console API.",
        has_flag=True,
    )
    batch_path: str = _setting("/batch", "The path of the batch method below the address.")
    access_token: str | None = _setting(
        None,
        "An OAuth 2.0 access token for the scope webmasters.readonly. Better given by the "
        "environment, where other users of the machine do not see it.",
        has_flag=True,
        is_secret=True,
    )
    account: str | None = _setting(
        None,
        "The account to ask as, of those that signed in with `gsc-trio login`; or "
        "application-default, for Google's application-default credentials.",
        has_flag=True,
    )
    key_file: str | None = _setting(
        None, "The key file of a service account to ask as.", has_flag=True
    )
    accounts_file: str | None = _setting(
        None,
        "The file that accounts are kept in. By default accounts.json in the platform's "
        "configuration folder.",
    )

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(Settings):
            check_setting(field.name, getattr(self, field.name), field.name)

    @property
    def initial_concurrency(self) -> int:
        """How many workers a run begins with."""
        return AUTO_BEGINS_WITH if self.max_concurrency == "auto" else self.max_concurrency

    @property
    def in_flight_limit(self) -> int:
        """``max_in_flight``, or what follows from batch size and concurrency."""
        return self.in_flight_limit_at(self.initial_concurrency)

    def in_flight_limit_at(self, concurrency: int) -> int:
        """The same, when there are so many workers."""
        if self.max_in_flight is not None:
            return self.max_in_flight
        return 2 * self.batch_size * concurrency


# What is known of each setting.


@cache
def setting_type(name: str) -> type:
    """The plain type of a setting: int, float or str.

    None is how "not given" is said, and a word that may be given instead is not told here.
    """
    hint = get_type_hints(Settings)[name]
    return next(kind for kind in (int, float, str) if kind is hint or kind in get_args(hint))


def setting_range(name: str) -> str:
    """The allowed range of a setting as a text, or an empty one if it has none."""
    metadata = attrs.fields_dict(Settings)[name].metadata
    if metadata["minimum"] is None:
        return ""
    text = f"{_written(metadata['minimum'])} to {_written(metadata['maximum'])}"
    return f"{text}, or {metadata['word']}" if metadata["word"] else text


def parse_setting(name: str, text: str, source: str) -> Any:
    """Read a setting that was given as text.

    Args:
        name: the setting.
        text: what was given.
        source: where, as a flag or a variable, for the message.

    Raises:
        UsageError: it is of another type, or out of its range.
    """
    text = text.strip()
    value: Any = text
    if text != attrs.fields_dict(Settings)[name].metadata["word"]:
        try:
            value = setting_type(name)(text)
        except ValueError:
            raise UsageError(f"{source} is {text!r}: {_expected(name)}") from None
    check_setting(name, value, source)
    return value


def check_setting(name: str, value: Any, source: str) -> None:
    """Refuse a value that a setting cannot have.

    Args:
        name: the setting.
        value: what was given; None only where that is the default.
        source: where it was given, for the message.

    Raises:
        UsageError: the message names the source and says what is allowed; it shows no secret.
    """
    field = attrs.fields_dict(Settings)[name]
    if value is None and field.default is None:
        return
    if value is not None and value == field.metadata["word"]:
        return
    kind = setting_type(name)
    is_of_type = type(value) is kind or (kind is float and type(value) is int)
    minimum, maximum = field.metadata["minimum"], field.metadata["maximum"]
    if not is_of_type or not (minimum is None or minimum <= value <= maximum):
        given = "of another type" if field.metadata["is_secret"] else _written(value)
        raise UsageError(f"{source} is {given}: {_expected(name)}")
    if name == "api_root":
        _check_api_root(value, source)
    elif name == "batch_path" and not value.startswith("/"):
        raise UsageError(f"{source} is {value!r}: begin it with /")
    elif name == "access_token" and not re.fullmatch(r"[!-~]+", value):
        # The HTTP library would refuse it too, but with a message that shows it.
        raise UsageError(f"{source} is no access token: it has spaces or special characters in it")


def _check_api_root(address: str, source: str) -> None:
    if "@" in address:
        # Said first, so that what may be a password is never shown.
        raise UsageError(f"{source} must have no user name or password in it: use access_token")
    try:
        parts = urlsplit(address)
        is_address = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or an unclosed bracket of an IPv6 address
        is_address = False
    if not is_address or parts.query or parts.fragment:
        raise UsageError(
            f"{source} is {address!r}: use an address that begins with https:// or http://, "
            "as http://127.0.0.1:8765"
        )


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text"}


def _expected(name: str) -> str:
    allowed = setting_range(name)
    return f"use {_TYPE_NAMES[setting_type(name)]}" + (f" from {allowed}" if allowed else "")


def _written(value: object) -> str:
    """A number as people write it, and anything else as Python does."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    return f"{value:,}".removesuffix(".0")
