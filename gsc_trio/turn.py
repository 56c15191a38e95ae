"""One property among many: what is to be done for it, what it has meanwhile, and how that ends.

Must never: know who has a turn when; `gsc_trio.side_by_side` gives them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import attrs

from gsc_trio.client import SearchConsole
from gsc_trio.concurrency import Concurrency
from gsc_trio.config import Settings
from gsc_trio.halt import HaltSwitch
from gsc_trio.quota_journal import QuotaJournal
from gsc_trio.telemetry.events import Event, QuotaApproaching, QuotaPaused, QuotaUsed
from gsc_trio.telemetry.instrument import Instrument, Instruments


@attrs.frozen
class Turn:
    """What a property has while it is its turn."""

    client: SearchConsole
    settings: Settings
    concurrency: Concurrency | None
    """How many workers it may have; None for the plain sequential loop."""
    journal: QuotaJournal
    halt_switch: HaltSwitch
    """What stops all; a run of its own wants one that is `gsc_trio.halt.following` it."""
    instruments: Sequence[Instrument]

    @contextmanager
    def also_telling(self, site_url: str, instrument: Instrument) -> Iterator[Turn]:
        """This turn, with one more who is told of it: of its requests and its quotas, too."""
        keys = {f"site {site_url}", f"user {self.client.user}", "project"}
        with self.client.limiter.instruments.also(_OwnQuotas(Instruments([instrument]), keys)):
            yield attrs.evolve(
                self,
                client=self.client.also_told(instrument),
                instruments=[*self.instruments, instrument],
            )


@attrs.frozen
class Outcome:
    """How a turn ended."""

    status: str
    reason: str = ""
    days: int = 0
    """Days completed."""
    rows: int = 0
    error: BaseException | None = None
    """What stopped it."""


class Work(Protocol):
    """What is to be done for one property."""

    @property
    def site_url(self) -> str:
        """The property."""

    @property
    def days(self) -> int:
        """How many days there are to fetch."""

    async def run(self, turn: Turn) -> Outcome:
        """Do it."""

    def conclude(self, outcome: Outcome) -> None:
        """Take note that it was never begun, or ended with an error."""


@attrs.frozen
class _OwnQuotas:
    """Tells of the quotas that one run draws on, and not of other properties' and users'."""

    inner: Instrument
    keys: Collection[str]

    def handle(self, event: Event) -> None:
        """Hand an event on."""
        if isinstance(event, QuotaUsed | QuotaApproaching | QuotaPaused) and event.key in self.keys:
            self.inner.handle(event)
