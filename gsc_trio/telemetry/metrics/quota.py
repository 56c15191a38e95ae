"""Queries, and how they stand to Google's limits."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from gsc_trio.telemetry.events import (
    Event,
    QuotaApproaching,
    QuotaExceeded,
    QuotaPaused,
    QuotaUsed,
    RequestSent,
    RunStarted,
)
from gsc_trio.telemetry.facts import quota_of, reason_of
from gsc_trio.telemetry.metrics.attributes import PAUSE_REASONS, Attributes

_QUOTAS = ("site", "user", "project")
_PAUSE_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800)


class QuotaMetrics:
    """The dashboard's row about the quota."""

    def __init__(self, meter: Meter, common: Attributes) -> None:
        self._common = common
        self._uses: dict[str, QuotaUsed] = {}
        self._queries = meter.create_counter(
            "gsc_trio.queries", "{query}", "Queries sent; each part of a batch is one."
        )
        meter.create_observable_gauge(
            "gsc_trio.quota.used", [self._observe_use], "{query}", "How much of a quota is used."
        )
        self._limit = meter.create_gauge("gsc_trio.quota.limit", "{query}", "The quota, a minute.")
        self._approaching = meter.create_counter(
            "gsc_trio.quota.approaching", "{crossing}", "How often use passed 80 % of a quota."
        )
        self._exceeded = meter.create_counter(
            "gsc_trio.quota.exceeded", "{query}", "Queries that Google refused as too many."
        )
        self._pauses = meter.create_counter(
            "gsc_trio.pauses", "{pause}", "Pauses that Google asked for."
        )
        self._pause_duration = meter.create_histogram(
            "gsc_trio.pause.duration",
            "s",
            "How long pauses are.",
            explicit_bucket_boundaries_advisory=_PAUSE_SECONDS,
        )

    def handle(self, event: Event) -> None:
        """Count an event."""
        match event:
            case QuotaUsed(key, _, limit):
                self._uses[key] = event
                self._limit.set(limit, self._of(key))
            case RequestSent(queries, is_batch):
                self._queries.add(queries, {**self._common, "http.batch": is_batch})
            case QuotaApproaching(key):
                self._approaching.add(1, self._of(key))
            case QuotaExceeded(key, queries):
                self._exceeded.add(queries, self._of(key))
            case QuotaPaused(_, seconds, error):
                attributes = {**self._common, "reason": reason_of(error)}
                self._pauses.add(1, attributes)
                self._pause_duration.record(seconds, attributes)
            case RunStarted():
                self._begin_at_zero()
            case _:
                pass

    def _observe_use(self, _: CallbackOptions) -> Iterable[Observation]:
        """Permits come back by and by, so it is asked when somebody looks, in whatever thread.

        Of several properties the one that uses most counts.
        """
        most: dict[str, int] = {}
        for use in list(self._uses.values()):
            quota = quota_of(use.key)
            most[quota] = max(most.get(quota, 0), use.used_now())
        return [Observation(used, self._of(quota)) for quota, used in most.items()]

    def _of(self, key: str) -> Attributes:
        """The kind of a limit's key; its name would be an identity."""
        return {**self._common, "quota": quota_of(key)}

    def _begin_at_zero(self) -> None:
        for is_batch in (False, True):
            self._queries.add(0, {**self._common, "http.batch": is_batch})
        for quota in _QUOTAS:
            self._approaching.add(0, self._of(quota))
        self._exceeded.add(0, self._of("user"))
        for reason in PAUSE_REASONS:
            self._pauses.add(0, {**self._common, "reason": reason})
