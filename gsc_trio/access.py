"""The access token: one at a time, and a new one before it ends or when Google refuses it.

A token lives for about an hour, so a long run needs several. Whoever knows how to get them passes
a source; without one there is the one token of the settings.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import attrs
import trio

from gsc_trio.errors import (
    AccessTokenExpiredError,
    ApiError,
    TransientError,
    UnauthenticatedError,
)

RENEW_BEFORE_SECONDS = 300.0
"""How long before its end a token is replaced: longer than the answer to a batch takes, so that
none is refused in the middle of one."""

RENEW_AGAIN_SECONDS = 30.0
"""How long to wait after a renewal failed, while the old token still serves."""


@attrs.frozen
class AccessToken:
    """A token and what is known of it."""

    value: str = attrs.field(repr=False)
    lifetime_seconds: float | None = None
    """How long it is good for from now on, as far as that is known."""
    quota_project: str | None = None
    """The Google Cloud project whose quota is spent, if it is not the token's own."""

    @property
    def headers(self) -> dict[str, str]:
        """What to send with a request."""
        headers = {"Authorization": f"Bearer {self.value}"}
        if self.quota_project:
            headers["x-goog-user-project"] = self.quota_project
        return headers


TokenSource = Callable[[], Awaitable[AccessToken | str]]
"""Gives a new access token. It is called when one is first needed, before that one ends, and after
a refusal."""


def _access_token(given: AccessToken | str | None) -> AccessToken | None:
    return AccessToken(given) if isinstance(given, str) else given


@attrs.define(eq=False)
class AccessTokens:
    """The tokens of one client.

    Args:
        token: the one to begin with, if there is one.
        source: where others come from.
    """

    _token: AccessToken | None = attrs.field(converter=_access_token, repr=False)
    _source: TokenSource | None = attrs.field(default=None, repr=False)
    _ends_at: float = attrs.field(default=math.inf, init=False)
    """In seconds of trio's clock, which nobody sets."""
    _renew_at: float = attrs.field(default=math.inf, init=False)
    _refusals_in_a_row: int = attrs.field(default=0, init=False)
    _one_at_a_time: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def current(self) -> AccessToken | None:
        """The token to use now; all who need a new one at once wait for the same.

        Raises:
            ApiError: whatever the source raises.
        """
        async with self._one_at_a_time:
            if self._source is not None and (
                self._token is None or trio.current_time() >= self._renew_at
            ):
                await self._renew(self._source)
            return self._token

    async def _renew(self, source: TokenSource) -> None:
        asked_at = trio.current_time()
        try:
            token = _access_token(await source())
        except TransientError:
            if self._token is None or trio.current_time() >= self._ends_at:
                raise
            self._renew_at = trio.current_time() + RENEW_AGAIN_SECONDS
            return
        self._token = token
        self._ends_at = self._renew_at = math.inf
        if token is not None and token.lifetime_seconds is not None:
            self._ends_at = asked_at + token.lifetime_seconds
            early = min(RENEW_BEFORE_SECONDS, token.lifetime_seconds / 2)
            self._renew_at = self._ends_at - early

    def accept(self) -> None:
        """Google took a token."""
        self._refusals_in_a_row = 0

    def judge(self, error: ApiError, token: AccessToken | None) -> ApiError:
        """What a refusal means: a token that was refused is replaced once, not for ever.

        Args:
            error: what Google said.
            token: what was sent with the request.
        """
        if not isinstance(error, UnauthenticatedError) or self._source is None:
            return error
        if token is self._token:
            self._refusals_in_a_row += 1
            if self._refusals_in_a_row > 1:
                return error
            self._token = None
        return AccessTokenExpiredError(error.message, status=error.status, reason=error.reason)
