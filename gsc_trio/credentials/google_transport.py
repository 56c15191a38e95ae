"""How google-auth sends its requests: through httpx, with a time limit, and only once each.

google-auth would sleep in its thread between attempts that fail; here such an attempt is an error
at once, and the run's retry policy decides. What the last answer said is kept, since google-auth's
own exceptions tell neither its status nor its date.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import google.auth.exceptions
import httpx

TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_MAY_HELP_TO_ASK_AGAIN = frozenset({408, 429, *range(500, 600)})


@attrs.frozen
class TokenAnswer:
    """What a token endpoint answered; google-auth reads the first three."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    data: bytes = attrs.field(repr=False)
    received_at: dt.datetime
    """By this machine's clock."""

    @property
    def error(self) -> tuple[str, str]:
        """OAuth's error and its description, both empty where there are none."""
        try:
            loaded = json.loads(self.data)
        except ValueError:
            return "", ""
        if not isinstance(loaded, dict):
            return "", ""
        code, description = loaded.get("error"), loaded.get("error_description")
        return (
            code if isinstance(code, str) else "",
            description if isinstance(description, str) else "",
        )

    @property
    def clock_ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of the one that answered."""
        try:
            theirs = parsedate_to_datetime(self.headers["date"])
        except (KeyError, ValueError, TypeError, IndexError):
            return None
        if theirs.tzinfo is None:
            theirs = theirs.replace(tzinfo=dt.UTC)
        return (self.received_at - theirs).total_seconds()


class HttpxRequest:
    """What google-auth calls for each request.

    Args:
        transport: what to send through instead of the network.
    """

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._transport = transport
        self.last_answer: TokenAnswer | None = None
        """What came last, whatever it was."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> TokenAnswer:
        """Send one request.

        Raises:
            google.auth.exceptions.TransportError: no answer came, or one after which asking again
                may help.
        """
        self.last_answer = None
        try:
            with httpx.Client(transport=self._transport, timeout=timeout or TIMEOUT) as client:
                response = client.request(method, url, content=body, headers=headers)
        except httpx.HTTPError as error:
            what = str(error) or "no answer in time"
            host = httpx.URL(url).host
            raise google.auth.exceptions.TransportError(
                f"{host}: {type(error).__name__}: {what}"
            ) from None
        answer = TokenAnswer(
            response.status_code, response.headers, response.content, dt.datetime.now(dt.UTC)
        )
        self.last_answer = answer
        if answer.status in _MAY_HELP_TO_ASK_AGAIN:
            raise google.auth.exceptions.TransportError(
                f"{httpx.URL(url).host} answered {answer.status}"
            )
        return answer
