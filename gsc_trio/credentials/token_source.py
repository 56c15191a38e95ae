"""Access tokens through google-auth: in a thread, one renewal at a time, with a time limit.

google-auth knows all kinds of credentials, but its calls block. Responsible for: that the event
loop never waits for them, that all who need a new token at once wait for the same one, and that
every way to fail is told as what it means for the user.
Must never: show a token, a key or an OAuth client's secret.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import trio

from gsc_trio.access import AccessToken, TokenSource
from gsc_trio.errors import ApiError, SignInError, TransportError

if TYPE_CHECKING:
    from gsc_trio.credentials.google_transport import HttpxRequest, TokenAnswer

SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"
"""All that is ever asked for: to read."""

RENEWAL_SECONDS = 45.0
"""How long a renewal may take, whatever google-auth does meanwhile."""

CLOCK_TOLERANCE_SECONDS = 60.0
"""By how much a clock may be wrong before it is blamed for a refusal."""

_MAX_WORDS = 300

_CLOCK_WORDS = re.compile(r"\b(iat|exp|timeframe|too early)\b", re.IGNORECASE)
_SECRET = re.compile(r"\b(?:Bearer\s+|ya29\.|1//|GOCSPX-|eyJ)[\w.~+/=-]{8,}", re.IGNORECASE)
"""What Google's tokens, secrets and signed requests begin with."""

_log = logging.getLogger(__name__)


class GoogleCredentials(Protocol):
    """What is needed of `google.auth.credentials.Credentials`."""

    token: Any
    expiry: Any

    def refresh(self, request: Any) -> None:
        """Get a new token; blocks."""


@attrs.frozen
class Identity:
    """Whose credentials they are, for messages."""

    name: str
    """As ``account agency``; also whose quota is spent, so the same in each run."""
    remedy: str = "check these credentials"
    """What to do when they are refused."""
    signs: bool = False
    """Whether requests are signed with this machine's clock, as service accounts do."""
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    """What must not be in a message, even if Google repeats it."""


@attrs.define(eq=False)
class GoogleTokenSource:
    """A `TokenSource` over google-auth's credentials; clients may share one.

    Args:
        credentials: what gives tokens; nobody else should renew them meanwhile.
        identity: whose they are.
        request: how google-auth sends; by default over httpx.
        keep_refresh_token: called in a thread with the old and the new one when Google gave
            another.
    """

    _credentials: GoogleCredentials = attrs.field(repr=False)
    identity: Identity = attrs.field(factory=lambda: Identity("the given credentials"))
    _request: HttpxRequest | None = attrs.field(default=None, repr=False)
    _keep_refresh_token: Callable[[str, str], None] | None = attrs.field(default=None, repr=False)
    _given: str | None = attrs.field(default=None, init=False, repr=False)
    _refused: SignInError | None = attrs.field(default=None, init=False)
    _one_at_a_time: trio.Lock = attrs.field(factory=trio.Lock, init=False, repr=False)

    async def __call__(self) -> AccessToken:
        """A token that was not given before.

        Raises:
            SignInError: there will be none; the message says what to do.
            TransportError: none could be had just now.
        """
        before = self._credentials.token
        async with self._one_at_a_time:
            # Who has waited for another's renewal is given what that brought.
            if self._credentials.token == before and not self._is_unused():
                await self._renew()
            self._given = self._credentials.token
            return AccessToken(
                self._credentials.token,
                lifetime_seconds=self._lifetime_seconds(),
                quota_project=getattr(self._credentials, "quota_project_id", None),
            )

    def give_again(self) -> None:
        """Whoever asks next is given what the one before was given, who needs it no more."""
        self._given = None

    def _is_unused(self) -> bool:
        """Whether there is a token that nobody was given yet, and that has some time left."""
        lifetime = self._lifetime_seconds()
        is_alive = lifetime is None or lifetime > CLOCK_TOLERANCE_SECONDS
        return self._credentials.token not in {None, self._given} and is_alive

    def _lifetime_seconds(self) -> float | None:
        expiry: dt.datetime | None = self._credentials.expiry
        if expiry is None:
            return None
        # google-auth writes UTC without saying so.
        return (expiry.replace(tzinfo=dt.UTC) - dt.datetime.now(dt.UTC)).total_seconds()

    async def _renew(self) -> None:
        if self._refused is not None:
            raise self._refused  # a revoked sign-in does not come back within a run
        with trio.move_on_after(RENEWAL_SECONDS) as limit:
            await trio.to_thread.run_sync(self._refresh, abandon_on_cancel=True)
        if limit.cancelled_caught:
            raise TransportError(f"no new access token within {RENEWAL_SECONDS:g} seconds")

    def _refresh(self) -> None:
        """Renew; this is what blocks."""
        # They take half a second to load, and who has a token needs none of it.
        import google.auth.exceptions

        from gsc_trio.credentials.google_transport import HttpxRequest

        request = self._request or HttpxRequest()
        refresh_token = getattr(self._credentials, "refresh_token", None)
        try:
            self._credentials.refresh(request)
        except google.auth.exceptions.TransportError as error:
            raise TransportError(f"no new access token: {self._clean(str(error))}") from None
        except Exception as error:  # noqa: BLE001 - google-auth trips over odd answers in odd ways
            raise self._explained(request.last_answer, error) from None
        renewed = getattr(self._credentials, "refresh_token", None)
        if self._keep_refresh_token is not None and renewed != refresh_token:
            try:
                self._keep_refresh_token(str(refresh_token), str(renewed))
            except Exception as error:  # noqa: BLE001 - this run has its token; the next will ask
                _log.warning("the new sign-in of %s was not kept: %s", self.identity.name, error)

    def _explained(self, answer: TokenAnswer | None, error: Exception) -> ApiError:
        """What went wrong, and what to do."""
        name, remedy = self.identity.name, self.identity.remedy
        if answer is None:  # it was not even sent
            self._refused = SignInError(f"{name}: {self._clean(str(error))}: {remedy}")
            return self._refused
        code, description = answer.error
        words = self._clean(": ".join(filter(None, (code, description)))) or (
            f"an answer with status {answer.status} that is no OAuth answer"
        )
        if not code and answer.status == 200:
            return TransportError(f"no new access token: {words}")
        ahead = answer.clock_ahead_seconds or 0.0
        is_off = abs(ahead) > CLOCK_TOLERANCE_SECONDS
        if self.identity.signs and is_off and _CLOCK_WORDS.search(words):
            self._refused = SignInError(
                f"{name}: this machine's clock is {_minutes(ahead)} Google's, so what it signs is "
                f"refused: set the clock right and run again. Google says: {words}"
            )
        else:
            self._refused = SignInError(f"{name} was refused by Google ({words}): {remedy}")
        return self._refused

    def _clean(self, text: str) -> str:
        return hide_secrets(text, (*self.identity.secrets, self._credentials.token))


def hide_secrets(text: str, secrets: tuple[Any, ...]) -> str:
    """A text that came from outside, as one short printable line without these secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[hidden]")
    text = _SECRET.sub("[hidden]", text)
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= _MAX_WORDS else f"{text[: _MAX_WORDS - 1]}…"


def _minutes(ahead_seconds: float) -> str:
    seconds = abs(ahead_seconds)
    amount, unit = (seconds / 60, "minute") if seconds < 5_400 else (seconds / 3_600, "hour")
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return f"{amount:.0f} {unit}{'' if round(amount) == 1 else 's'} {direction}"


def as_token_source(credentials: GoogleCredentials | TokenSource | None) -> TokenSource | None:
    """The source that asks google-auth's credentials; a source stays what it is."""
    if credentials is None or callable(credentials):
        return credentials
    return GoogleTokenSource(credentials)
