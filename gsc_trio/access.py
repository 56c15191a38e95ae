"""The access token: one at a time, and a new one when Google refuses it.

A token lives for about an hour, so a long run needs several. Whoever knows how to get them passes
a source; without one there is the one token of the settings.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from gsc_trio.errors import AccessTokenExpiredError, ApiError, UnauthenticatedError

TokenSource = Callable[[], Awaitable[str]]
"""Gives a new access token. It is called when one is first needed, and after a refusal."""


@attrs.define(eq=False)
class AccessTokens:
    """The tokens of one client.

    Args:
        token: the one to begin with, if there is one.
        source: where others come from.
    """

    _token: str | None = attrs.field(repr=False)
    _source: TokenSource | None = None
    _refusals_in_a_row: int = attrs.field(default=0, init=False)
    _one_at_a_time: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def current(self) -> str | None:
        """The token to use now; all who need a new one at once wait for the same.

        Raises:
            ApiError: whatever the source raises.
        """
        async with self._one_at_a_time:
            if self._token is None and self._source is not None:
                self._token = await self._source()
            return self._token

    def accept(self) -> None:
        """Google took a token."""
        self._refusals_in_a_row = 0

    def judge(self, error: ApiError, token: str | None) -> ApiError:
        """What a refusal means: a token that was refused is replaced once, not for ever.

        Args:
            error: what Google said.
            token: what was sent with the request.
        """
        if not isinstance(error, UnauthenticatedError) or self._source is None:
            return error
        if token == self._token:
            self._refusals_in_a_row += 1
            if self._refusals_in_a_row > 1:
                return error
            self._token = None
        return AccessTokenExpiredError(error.message, status=error.status, reason=error.reason)
