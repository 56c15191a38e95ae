"""Signing in and out: the address to open, the answer that comes back, the tokens for it.

The browser comes back to a web server on this machine. Where it runs on another machine, it shows
a page that cannot be reached, whose address has all that is needed: it can be pasted instead.
Responsible for: waiting for both, and for talking to the token endpoint.
Must never: show a code or a token, or take an answer that belongs to another attempt.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import httpx
import trio

from gsc_trio.credentials.files import OAuthClient
from gsc_trio.credentials.loopback import open_loopback
from gsc_trio.credentials.oauth import NotOurRedirectError, SignIn, Tokens
from gsc_trio.credentials.token_source import hide_secrets
from gsc_trio.errors import SignInError, TransportError

TIMEOUT = httpx.Timeout(20.0, connect=10.0)


@attrs.frozen
class Person:
    """How to reach who signs in. Each is called in a thread, and may block.

    Args:
        tell: shows a line.
        open_browser: opens an address and says whether it could.
        read_line: reads what was pasted; an empty text when nothing more comes.
    """

    tell: Callable[[str], None]
    open_browser: Callable[[str], bool]
    read_line: Callable[[], str]


@attrs.define(eq=False)
class _Answer:
    """The answer to one attempt, once it has come."""

    attempt: SignIn | None = None
    _code: str | None = attrs.field(default=None, init=False, repr=False)
    _error: SignInError | None = attrs.field(default=None, init=False)
    arrived: trio.Event = attrs.field(factory=trio.Event, init=False)

    def take(self, address: str) -> None:
        """Take an address that the browser was sent to.

        Raises:
            NotOurRedirectError: it is not the answer.
        """
        if self.attempt is None or self.arrived.is_set():
            raise NotOurRedirectError("the answer is there already")
        try:
            self._code = self.attempt.code_in(address)
        except SignInError as error:
            self._error = error
        self.arrived.set()

    def take_from_browser(self, address: str) -> str:
        """The same; returns what the browser is to show."""
        try:
            self.take(address)
        except NotOurRedirectError:
            return "This is not the answer that gsc-trio waits for. Look at the terminal."
        if self._error is not None:
            return "You are not signed in. Look at the terminal."
        return "That is all: go back to the terminal. You may close this page."

    def code(self) -> str:
        """The authorization code, after it has arrived.

        Raises:
            SignInError: the answer was no.
        """
        if self._error is not None:
            raise self._error
        return self._code or ""


async def sign_in(
    client: OAuthClient,
    person: Person,
    *,
    port: int = 0,
    timeout_seconds: float = 300.0,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Tokens:
    """Let a person sign in with a browser.

    Args:
        client: their OAuth client.
        person: how to reach them.
        port: where the browser comes back to, on 127.0.0.1; 0 for a free port.
        timeout_seconds: how long to wait for them.
        transport: what to send to the token endpoint through, instead of the network.

    Raises:
        SignInError: they or Google declined, or nobody came.
        TransportError: the token endpoint cannot be reached.
        UsageError: the port is not free.
    """
    answer = _Answer()
    async with open_loopback(answer.take_from_browser, port) as redirect_uri:
        attempt = answer.attempt = SignIn(client, redirect_uri)
        with trio.move_on_after(timeout_seconds):
            await _wait_for(answer, attempt.address, person)
    if not answer.arrived.is_set():
        raise SignInError(f"nobody signed in within {timeout_seconds:g} seconds")
    status, content = await _post(client.token_uri, attempt.token_form(answer.code()), transport)
    return attempt.tokens_in(status, content)


async def _wait_for(answer: _Answer, address: str, person: Person) -> None:
    """Show the address and wait until the answer has come."""
    async with trio.open_nursery() as nursery:
        if await trio.to_thread.run_sync(person.open_browser, address, abandon_on_cancel=True):
            await _tell(person, "a browser opens; if it does not, open this address in one:")
            await _tell(person, address)
        else:
            await _tell(person, "open this address in a browser:")
            await _tell(person, address)
            await _tell(
                person,
                "on another machine it ends at a page that cannot be reached: paste that page's "
                "address here",
            )
            nursery.start_soon(_take_pasted, answer, person)
        await answer.arrived.wait()
        nursery.cancel_scope.cancel()


async def _take_pasted(answer: _Answer, person: Person) -> None:
    """Take what is pasted until it is the answer, or nothing more comes."""
    while line := await trio.to_thread.run_sync(person.read_line, abandon_on_cancel=True):
        if line.strip():
            try:
                answer.take(line)
            except NotOurRedirectError as error:
                await _tell(person, f"{error}")
            else:
                return


async def _tell(person: Person, text: str) -> None:
    await trio.to_thread.run_sync(person.tell, text)


async def revoke(
    client: OAuthClient, refresh_token: str, *, transport: httpx.AsyncBaseTransport | None = None
) -> None:
    """Take back what a sign-in allowed. One that is not known any more is as good as revoked.

    Args:
        client: the OAuth client of the sign-in.
        refresh_token: what it gave.
        transport: what to send through instead of the network.

    Raises:
        SignInError: it was refused.
        TransportError: the endpoint cannot be reached, or fails.
    """
    status, content = await _post(client.revoke_uri, {"token": refresh_token}, transport)
    if status == httpx.codes.OK or (
        status == httpx.codes.BAD_REQUEST and b"invalid_token" in content
    ):
        return
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise TransportError(f"{httpx.URL(client.revoke_uri).host} answered {status}")
    words = hide_secrets(content.decode(errors="replace"), (refresh_token,))
    raise SignInError(f"Google did not revoke the sign-in ({status}): {words}")


async def _post(
    address: str, form: dict[str, str], transport: httpx.AsyncBaseTransport | None
) -> tuple[int, bytes]:
    try:
        async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT) as http:
            response = await http.post(address, data=form)
    except httpx.HTTPError as error:
        what = str(error) or "no answer in time"
        raise TransportError(
            f"cannot reach {httpx.URL(address).host}: {type(error).__name__}: {what}"
        ) from None
    return response.status_code, response.content
