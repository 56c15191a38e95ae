"""SIGHUP in mid-run: the settings file is read again, and the concurrency follows it.

Only ``max_concurrency`` can change while a run works; whatever else has changed in the file is for
the next run, and is named. A file with a mistake in it changes nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

from gsc_trio.cli.options import setting_flag
from gsc_trio.cli.terminal import Terminal
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.config_sources import ENVIRONMENT_PREFIX, environment_variable, load_settings
from gsc_trio.errors import UsageError

NAME = "max_concurrency"
"""The one setting that can change."""


@attrs.frozen
class SettingsSources:
    """Where a command's settings come from, so that they can be read again.

    Args:
        profile: the flag's.
        config_file: the flag's.
        flags: the other settings' flags by their names; None where one was not given.
    """

    profile: str | None
    config_file: Path | None
    flags: Mapping[str, Any] = attrs.field(repr=False)

    @property
    def file(self) -> Path | None:
        """The settings file, if a flag or a variable names one."""
        path = self.config_file or os.environ.get(f"{ENVIRONMENT_PREFIX}CONFIG")
        return Path(path) if path else None

    def load(self) -> Settings:
        """Read them; parameters and errors as for `gsc_trio.config_sources.load_settings`."""
        return load_settings(profile=self.profile, config_file=self.config_file, **self.flags)

    @property
    def winner(self) -> str | None:
        """The flag or the variable that sets the concurrency whatever the file says."""
        if self.flags.get(NAME) is not None:
            return setting_flag(NAME)
        variable = environment_variable(NAME)
        return variable if os.environ.get(variable) else None

    def load_what_the_file_says(self) -> Settings:
        """Read them as if there were no such winner."""
        variable = environment_variable(NAME)
        return load_settings(
            profile=self.profile,
            config_file=self.config_file,
            environment={key: text for key, text in os.environ.items() if key != variable},
            **{**self.flags, NAME: None},
        )


def live_settings(sources: SettingsSources | None, settings: Settings) -> LiveSettings | None:
    """What SIGHUP changes; None if there is no settings file to read again."""
    if sources is None or sources.file is None:
        return None
    setting = settings.max_concurrency
    return LiveSettings(sources, settings, None if setting == 1 else Concurrency(setting))


@attrs.define(eq=False)
class LiveSettings:
    """The settings of a run that has a settings file. Made before signals are received.

    Args:
        sources: where they are read again.
        settings: what the run began with.
        concurrency: what follows them; None where the run is the plain sequential loop.
        terminal: what tells whether the signal is meant for this.
    """

    sources: SettingsSources
    settings: Settings
    concurrency: Concurrency | None
    terminal: Terminal = attrs.field(factory=Terminal)

    async def is_meant(self, number: int) -> bool:
        """Whether a signal asks for that."""
        return number == signal.SIGHUP and not await self.terminal.is_closing()

    async def read_again(self) -> str:
        """Read the file again and follow it.

        Returns:
            What came of it, as a line for the person who sent the signal.
        """
        try:
            settings = await trio.to_thread.run_sync(self.sources.load)
            in_file = await trio.to_thread.run_sync(self.sources.load_what_the_file_says)
        except UsageError as error:
            return f"SIGHUP: {error}; the run goes on as it is"
        facts = [self._follow(in_file), self._for_the_next_run(settings)]
        text = "; ".join(filter(None, facts)) or "nothing has changed"
        return f"SIGHUP: read {self.sources.file} again: {text}"

    def _follow(self, in_file: Settings) -> str:
        wanted = in_file.max_concurrency
        setting = self.concurrency.setting if self.concurrency else self.settings.max_concurrency
        if wanted == setting:
            return ""
        if self.sources.winner is not None:
            return f"{NAME} stays {setting}, since {self.sources.winner} wins over the file"
        if self.concurrency is None:
            return f"{NAME} {wanted} is for the next run: this one is the plain sequential loop"
        was = self.concurrency.limit
        self.concurrency.change(wanted, f"{self.sources.file} was read again")
        is_lower = self.concurrency.limit < was
        return f"{NAME} {setting} → {wanted}" + (
            "; batches under way end first" if is_lower else ""
        )

    def _for_the_next_run(self, settings: Settings) -> str:
        names = [
            field.name
            for field in attrs.fields(Settings)
            if field.name != NAME
            and getattr(settings, field.name) != getattr(self.settings, field.name)
        ]
        return f"{', '.join(names)}: for the next run" if names else ""
