"""What commands have in common that ask Google a few questions: settings, credentials, a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs

from gsc_trio.access import TokenSource
from gsc_trio.cli.options import (
    config_option,
    profile_option,
    settings_options_without,
    settings_with_flags,
)
from gsc_trio.client import SearchConsole, open_search_console
from gsc_trio.config import Settings
from gsc_trio.config_sources import load_settings
from gsc_trio.credentials.choice import choose_credentials

Function = TypeVar("Function", bound=Callable[..., Any])

_SETTINGS = {"api_root", "access_token", "account", "key_file"}
"""Those that say who asks, and whom."""


@attrs.frozen
class Asking:
    """Who asks, and whom."""

    settings: Settings
    credentials: TokenSource | None = attrs.field(repr=False)

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any], site_url: str = "") -> Asking:
        """What the flags of `asking_options` say.

        Raises:
            UsageError: a setting is wrong, or there are no credentials.
        """
        settings = load_settings(**flags)
        return cls(settings, choose_credentials(settings, site_url))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SearchConsole]:
        """Open a client."""
        async with open_search_console(self.settings, credentials=self.credentials) as client:
            yield client


def asking_options(function: Function) -> Function:
    """Give a command the flags of those settings, and of where else they may come from."""
    decorated: Any = config_option()(profile_option(function))
    with_settings = settings_options_without(*(set(settings_with_flags()) - _SETTINGS))
    result: Function = with_settings(decorated)
    return result
