"""What values are told apart by, and the reasons that there are."""

from __future__ import annotations

from collections.abc import Mapping

from gsc_trio.errors import (
    AccessTokenExpiredError,
    BackendError,
    LoadQuotaExceededError,
    MalformedResponseError,
    RateLimitExceededError,
    TransportError,
)
from gsc_trio.telemetry.facts import reason_of

Attributes = Mapping[str, str | bool]

PAUSE_REASONS = tuple(
    reason_of(kind("")) for kind in (RateLimitExceededError, LoadQuotaExceededError)
)
RETRY_REASONS = PAUSE_REASONS + tuple(
    reason_of(kind(""))
    for kind in (BackendError, AccessTokenExpiredError, TransportError, MalformedResponseError)
)
HALT_STATUSES = ("halted", "failed", "interrupted")
