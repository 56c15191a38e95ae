"""OAuth 2.0 for installed apps, without any I/O: addresses and forms in, tokens and errors out.

The authorization code flow with PKCE (Source: RFC 6749, RFC 7636, RFC 8252, and Google's "OAuth
2.0 for iOS & Desktop Apps"). `login` carries what this makes to Google and back.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import msgspec

from gsc_trio.credentials.files import OAuthClient
from gsc_trio.credentials.token_source import SCOPE, hide_secrets
from gsc_trio.errors import SignInError


class NotOurRedirectError(Exception):
    """An address that does not belong to this sign-in; the message says why."""


class _TokenAnswer(msgspec.Struct):
    access_token: str = ""
    refresh_token: str = ""
    scope: str = ""
    error: str = ""
    error_description: str = ""


@attrs.frozen
class Tokens:
    """What a sign-in gives."""

    access_token: str = attrs.field(repr=False)
    refresh_token: str = attrs.field(repr=False)


@attrs.frozen
class SignIn:
    """One attempt to sign in; made anew for each, so that no answer fits another.

    Args:
        client: the OAuth client.
        redirect_uri: where Google sends the browser afterwards.
    """

    client: OAuthClient
    redirect_uri: str
    _state: str = attrs.field(factory=lambda: secrets.token_urlsafe(32), init=False, repr=False)
    _verifier: str = attrs.field(factory=lambda: secrets.token_urlsafe(48), init=False, repr=False)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        parameters = {
            "response_type": "code",
            "client_id": self.client.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": SCOPE,
            "state": self._state,
            "code_challenge": code_challenge(self._verifier),
            "code_challenge_method": "S256",
            # Without these Google gives a refresh token only the first time, and takes whoever
            # the browser is signed in as.
            "access_type": "offline",
            "prompt": "select_account consent",
        }
        return f"{self.client.auth_uri}?{urlencode(parameters)}"

    def code_in(self, address: str) -> str:
        """The authorization code in the address that Google sent the browser to.

        Raises:
            NotOurRedirectError: it is not the answer to this attempt; wait for that.
            SignInError: Google, or the person at the browser, said no.
        """
        parameters = parse_qs(urlsplit(address.strip()).query)
        state = parameters.get("state", [""])[0]
        if not state:
            raise NotOurRedirectError("that is not the address that Google sends the browser to")
        if not secrets.compare_digest(state.encode(), self._state.encode()):
            raise NotOurRedirectError("that address belongs to another sign-in")
        if error := parameters.get("error", [""])[0]:
            if error == "access_denied":
                raise SignInError("the sign-in was declined in the browser: nothing was changed")
            raise SignInError(f"Google did not sign you in: {hide_secrets(error, ())}")
        code = parameters.get("code", [""])[0]
        if not code:
            raise NotOurRedirectError("there is no code in that address: copy all of it")
        return code

    def token_form(self, code: str) -> dict[str, str]:
        """What to post to the token endpoint."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.client.client_id,
            "client_secret": self.client.client_secret,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self._verifier,
        }

    def tokens_in(self, status: int, content: bytes) -> Tokens:
        """The tokens in what the token endpoint answered.

        Raises:
            SignInError: there are none, or not for what was asked for.
        """
        try:
            answer = msgspec.json.decode(content, type=_TokenAnswer)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SignInError(f"Google's answer ({status}) has no token in it: try again") from None
        if status != 200 or not answer.access_token:
            words = ": ".join(filter(None, (answer.error, answer.error_description)))
            words = hide_secrets(words, (self.client.client_secret, self._verifier)) or str(status)
            advice = (
                "; make a new OAuth client and give it with --client"
                if answer.error in {"invalid_client", "unauthorized_client", "deleted_client"}
                else ""
            )
            raise SignInError(f"Google did not sign you in: {words}{advice}")
        if answer.scope and SCOPE not in answer.scope.split():
            raise SignInError(
                "the box that lets Search Console data be read was not ticked: sign in again and "
                "tick it"
            )
        if not answer.refresh_token:
            raise SignInError(
                "Google gave no refresh token: remove the access at "
                "https://myaccount.google.com/connections and sign in again"
            )
        return Tokens(answer.access_token, answer.refresh_token)


def code_challenge(verifier: str) -> str:
    """PKCE's S256: what proves later that whoever brings the code is who asked for it."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
