"""A fake of Google's OAuth 2.0 server, which checks the protocol and writes down what was wrong.

Responsible for: the authorization, token and revocation endpoints; that a code is used once, with
the PKCE verifier and the redirect address it was asked for with; that a signed request (JWT
bearer) is from the right key, for Google and of this hour by the server's own clock; that tokens
end. Nobody is asked at the authorization endpoint: `consent` says what the person answers.

It knows one OAuth client, one person and a service account or several, with one key.
`FakeOAuthServer.access_tokens` is what a `FakeSearchConsole` takes to let only its tokens in,
`user_of` says whose quota a token spends, and `in_front_of` serves both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs

from gsc_trio.testing import service_key
from gsc_trio.testing.answers import Answer
from gsc_trio.testing.transport import App

SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"
GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
"""What google-auth signs requests for, whatever the key file says."""

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LONGEST_JWT_SECONDS = 3_600
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

Consent = Literal["granted", "declined", "without scope"]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.status = status


@attrs.frozen
class _PendingCode:
    """An authorization code that waits to be used."""

    redirect_uri: str
    challenge: str
    scope: str


@attrs.define(eq=False)
class _LiveTokens:
    """The access tokens that are good now."""

    _server: FakeOAuthServer

    def __contains__(self, token: object) -> bool:
        expires_at = self._server.expires_at.get(str(token))
        return expires_at is not None and self._server.clock() < expires_at


@attrs.define(eq=False)
class FakeOAuthServer:
    """An ASGI app with the paths ``/oauth/auth``, ``/oauth/token`` and ``/oauth/revoke``.

    Args:
        clock: what it takes the time from, in seconds since 1970.
        lifetime_seconds: how long access tokens are good for.
        consent: what the person at the browser answers.
        rotates_refresh_tokens: whether each renewal gives another refresh token.
        clock_tolerance_seconds: by how much the clock of who signs may be wrong.
    """

    clock: Callable[[], float] = time.time
    lifetime_seconds: int = 3_600
    consent: Consent = "granted"
    rotates_refresh_tokens: bool = False
    clock_tolerance_seconds: float = 60.0
    client_id: str = "1234-fake.apps.googleusercontent.com"
    client_secret: str = attrs.field(
        factory=lambda: f"GOCSPX-{secrets.token_urlsafe(21)}", repr=False
    )
    client_email: str = "robot@fake-project.iam.gserviceaccount.com"
    other_client_emails: Sequence[str] = ()
    """Further service accounts."""
    failures: list[Answer] = attrs.field(factory=list, init=False)
    """What the token endpoint answers next instead of its own answers."""
    refusals: list[str] = attrs.field(factory=list, init=False)
    """What was wrong with requests, in the order in which they came."""
    grants: list[str] = attrs.field(factory=list, init=False)
    """The grant type of each access token that was given."""
    expires_at: dict[str, float] = attrs.field(factory=dict, init=False, repr=False)
    """When each access token ends, by the clock."""
    owners: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)
    """Whose each access token is."""
    refresh_tokens: set[str] = attrs.field(factory=set, init=False, repr=False)
    """The sign-ins that are good."""
    issued: set[str] = attrs.field(factory=set, init=False, repr=False)
    """Every token, code and signed request that ever was, to look for where none must be."""
    _codes: dict[str, _PendingCode] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def access_tokens(self) -> _LiveTokens:
        """What `FakeSearchConsole.access_tokens` takes."""
        return _LiveTokens(self)

    def client_file(self, root: str) -> dict[str, Any]:
        """The OAuth client's file, as Google Cloud console gives it to download.

        Args:
            root: the address that this is served at.
        """
        return {
            "installed": {
                "client_id": self.client_id,
                "project_id": "fake-project",
                "auth_uri": f"{root}/oauth/auth",
                "token_uri": f"{root}/oauth/token",
                "client_secret": self.client_secret,
                "redirect_uris": ["http://localhost"],
            }
        }

    def user_of(self, token: str) -> str:
        """Who asks with a token, whichever of theirs it is."""
        return self.owners.get(token, token)

    def key_file(self, root: str, client_email: str | None = None) -> dict[str, Any]:
        """A service account's key file.

        Args:
            root: the address that this is served at.
            client_email: which one's, if there are several.
        """
        return {
            "type": "service_account",
            "project_id": "fake-project",
            "private_key_id": "1",
            "private_key": service_key.private_key(),
            "client_email": client_email or self.client_email,
            "client_id": "1",
            "token_uri": f"{root}/oauth/token",
        }

    def revoke_all(self) -> None:
        """Forget everyone who signed in, and their access tokens."""
        self.refresh_tokens.clear()
        self.expires_at.clear()

    def expire_all(self) -> None:
        """End all access tokens now."""
        self.expires_at.clear()

    def in_front_of(self, app: App) -> App:
        """An app that answers these paths and leaves all others to another app."""

        async def both(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            is_ours = scope["type"] == "http" and scope["path"].startswith("/oauth/")
            await (self if is_ours else app)(scope, receive, send)

        return both

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer an HTTP request (ASGI)."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        route = (scope["method"], scope["path"])
        try:
            if route == ("GET", "/oauth/auth"):
                answer = self._authorize(_form(scope["query_string"].decode()))
            elif route == ("POST", "/oauth/token"):
                answer = (
                    self.failures.pop(0) if self.failures else self._token(_form(body.decode()))
                )
            elif route == ("POST", "/oauth/revoke"):
                answer = self._revoke(_form(body.decode()))
            else:
                raise _RefusedError("not_found", "Not Found", 404)
        except _RefusedError as error:
            self.refusals.append(error.description)
            answer = _json({"error": error.code, "error_description": error.description})
            answer = attrs.evolve(answer, status=error.status)
        headers = {
            "content-type": answer.content_type,
            "date": formatdate(self.clock(), usegmt=True),
            "cache-control": "no-store",
            **answer.headers,
        }
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": answer.content})

    def _authorize(self, form: dict[str, str]) -> Answer:
        """Send the browser back with a code. What is wrong before that is known is said here."""
        _check(form.get("client_id") == self.client_id, "invalid_client", "Unknown client.", 401)
        redirect_uri = form.get("redirect_uri", "")
        parts = urlsplit(redirect_uri)
        is_loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
        _check(is_loopback, "redirect_uri_mismatch", "The redirect_uri is not a loopback address.")
        challenge = form.get("code_challenge", "")
        for is_fine, description in (
            (form.get("response_type") == "code", "The response_type must be code."),
            (form.get("scope") == SCOPE, "The scope must be webmasters.readonly alone."),
            (len(form.get("state", "")) >= 32, "The state is too easy to guess."),
            (form.get("code_challenge_method") == "S256", "The challenge's method must be S256."),
            (len(challenge) == 43, "The code_challenge is no SHA-256."),
            (form.get("access_type") == "offline", "The access_type must be offline."),
        ):
            _check(is_fine, "invalid_request", description)
        back = {"state": form["state"]}
        if self.consent == "declined":
            back["error"] = "access_denied"
        else:
            code = self._new_secret("4/")
            scope = SCOPE if self.consent == "granted" else "openid"
            self._codes[code] = _PendingCode(redirect_uri, challenge, scope)
            back |= {"code": code, "scope": scope}
        return Answer(302, b"", headers={"location": f"{redirect_uri}?{urlencode(back)}"})

    def _token(self, form: dict[str, str]) -> Answer:
        grant_type = form.get("grant_type", "")
        if grant_type == _JWT_BEARER:
            return self._new_token(
                grant_type, owner=self._check_assertion(form.get("assertion", ""))
            )
        is_known = form.get("client_id") == self.client_id and secrets.compare_digest(
            form.get("client_secret", ""), self.client_secret
        )
        _check(is_known, "invalid_client", "The OAuth client was not found.", 401)
        if grant_type == "authorization_code":
            pending = self._codes.pop(form.get("code", ""), None)
            _check(pending is not None, "invalid_grant", "Malformed auth code.")
            assert pending is not None  # noqa: S101 - for the type checker
            is_same = form.get("redirect_uri") == pending.redirect_uri
            _check(is_same, "redirect_uri_mismatch", "Bad Request")
            challenge = _challenge_of(form.get("code_verifier", ""))
            _check(challenge == pending.challenge, "invalid_grant", "Invalid code verifier.")
            return self._new_token(
                grant_type, refresh_token=self._new_refresh_token(), scope=pending.scope
            )
        _check(grant_type == "refresh_token", "unsupported_grant_type", "Invalid grant_type.")
        refresh_token = form.get("refresh_token", "")
        is_good = refresh_token in self.refresh_tokens
        _check(is_good, "invalid_grant", "Token has been expired or revoked.")
        if not self.rotates_refresh_tokens:
            return self._new_token(grant_type)
        self.refresh_tokens.discard(refresh_token)
        return self._new_token(grant_type, refresh_token=self._new_refresh_token())

    def _revoke(self, form: dict[str, str]) -> Answer:
        token = form.get("token", "")
        is_known = token in self.refresh_tokens or token in self.access_tokens
        _check(is_known, "invalid_token", "Token expired or revoked")
        self.revoke_all()  # as Google does: the access of this person to this client
        return _json({})

    def _check_assertion(self, assertion: str) -> str:
        """Check a signed request, as RFC 7523 has it; gives who signed it."""
        self.issued.add(assertion)
        try:
            claims, is_signed = service_key.read_assertion(assertion)
        except ValueError:
            raise _RefusedError("invalid_grant", "Invalid JWT.") from None
        known = (self.client_email, *self.other_client_emails)
        now, tolerance = self.clock(), self.clock_tolerance_seconds
        issued_at, ends_at = float(claims.get("iat", 0)), float(claims.get("exp", 0))
        is_timely = (
            issued_at - tolerance <= now <= ends_at + tolerance
            and ends_at - issued_at <= _LONGEST_JWT_SECONDS
        )
        for is_fine, description in (
            (claims.get("iss") in known, "Invalid grant: account not found"),
            (is_signed, "Invalid JWT Signature."),
            (claims.get("aud") == GOOGLE_TOKEN_URI, "Invalid JWT: Failed audience check."),
            (claims.get("scope") == SCOPE, "Invalid OAuth scope or ID token audience provided."),
            (
                is_timely,
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe. Check your iat and exp values in the JWT claim.",
            ),
        ):
            _check(is_fine, "invalid_grant", description)
        return str(claims["iss"])

    def _new_token(
        self, grant_type: str, scope: str = SCOPE, *, owner: str = "person", **more: str
    ) -> Answer:
        token = self._new_secret("ya29.")
        self.owners[token] = owner
        self.expires_at[token] = self.clock() + self.lifetime_seconds
        self.grants.append(grant_type)
        return _json(
            {
                "access_token": token,
                "expires_in": self.lifetime_seconds,
                "scope": scope,
                "token_type": "Bearer",
                **more,
            }
        )

    def _new_refresh_token(self) -> str:
        token = self._new_secret("1//")
        self.refresh_tokens.add(token)
        return token

    def _new_secret(self, prefix: str) -> str:
        secret = f"{prefix}{secrets.token_urlsafe(32)}"
        self.issued.add(secret)
        return secret


def _check(is_fine: bool, code: str, description: str, status: int = 400) -> None:
    if not is_fine:
        raise _RefusedError(code, description, status)


def _challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _form(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _json(value: object) -> Answer:
    return Answer(200, json.dumps(value).encode())
