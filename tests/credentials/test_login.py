"""Signing in: the address, the browser's way back, and the protocol as the fake checks it."""

from __future__ import annotations

import queue
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import trio

from gsc_trio.credentials.files import OAuthClient
from gsc_trio.credentials.login import Person, revoke, sign_in
from gsc_trio.credentials.oauth import NotOurRedirectError, SignIn, Tokens
from gsc_trio.errors import GscTrioError, SignInError, TransportError, UsageError
from gsc_trio.testing import FakeOAuthServer, open_streaming_transport
from gsc_trio.testing.answers import Answer
from gsc_trio.testing.oauth import Consent

ROOT = "http://oauth.example"


def client_of(oauth: FakeOAuthServer) -> OAuthClient:
    installed = oauth.client_file(ROOT)["installed"]
    return OAuthClient(**{name: installed[name] for name in OAuthClient.__struct_fields__})


class Stage:
    """A person, their browser, and what was shown to them."""

    def __init__(self, oauth: FakeOAuthServer, transport: httpx.AsyncBaseTransport) -> None:
        self.oauth = oauth
        self.transport = transport
        self.told: list[str] = []
        self.pages: list[str] = []
        self.pasted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.has_browser = True

    @property
    def address(self) -> str:
        return next(line for line in self.told if line.startswith(ROOT))

    def person(self, open_browser: Callable[[str], bool] | None = None) -> Person:
        return Person(self.told.append, open_browser or self.open_browser, self.pasted.get)

    def open_browser(self, address: str) -> bool:
        if self.has_browser:
            trio.from_thread.run(self.browse, address)
        return self.has_browser

    async def redirect_of(self, address: str) -> str:
        """Where Google sends the browser to."""
        async with httpx.AsyncClient(transport=self.transport) as http:
            response = await http.get(address)
        assert response.status_code == 302, response.text
        return response.headers["location"]

    async def browse(self, address: str) -> None:
        await self.visit(await self.redirect_of(address))

    async def visit(self, address: str) -> httpx.Response:
        async with httpx.AsyncClient() as http:  # over a real socket
            page = await http.get(address)
        self.pages.append(page.text)
        return page

    async def sign_in(
        self, person: Person | None = None, *, timeout_seconds: float = 60.0
    ) -> Tokens:
        return await sign_in(
            client_of(self.oauth),
            person or self.person(),
            timeout_seconds=timeout_seconds,
            transport=self.transport,
        )


async def test_a_person_signs_in_with_a_browser() -> None:
    oauth = FakeOAuthServer()
    async with open_streaming_transport(oauth) as transport:
        stage = Stage(oauth, transport)
        tokens = await stage.sign_in()
    assert tokens.access_token in oauth.access_tokens
    assert tokens.refresh_token in oauth.refresh_tokens
    assert (oauth.grants, oauth.refusals) == (["authorization_code"], [])
    assert "go back to the terminal" in stage.pages[0]
    asked = parse_qs(urlsplit(stage.address).query)
    assert asked["scope"] == ["https://www.googleapis.com/auth/webmasters.readonly"]
    assert asked["redirect_uri"][0].startswith("http://127.0.0.1:")
    shown = f"{stage.told} {stage.pages} {tokens!r}"
    assert not any(secret in shown for secret in oauth.issued)


async def test_without_a_browser_the_address_is_shown_and_the_page_may_be_elsewhere() -> None:
    oauth = FakeOAuthServer()
    async with open_streaming_transport(oauth) as transport:
        stage = Stage(oauth, transport)
        stage.has_browser = False

        async def paste() -> None:
            while not any("paste" in line for line in stage.told):
                await trio.lowlevel.checkpoint()
            stage.pasted.put("\n")
            stage.pasted.put("what?\n")
            stage.pasted.put("http://127.0.0.1:1/?state=another&code=x\n")
            stage.pasted.put(f"  {await stage.redirect_of(stage.address)}\n")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(paste)
            tokens = await stage.sign_in()
    assert tokens.refresh_token in oauth.refresh_tokens
    assert stage.told[-2:] == [
        "that is not the address that Google sends the browser to",
        "that address belongs to another sign-in",
    ]


async def test_the_browser_is_waited_for_when_nothing_can_be_pasted() -> None:
    oauth = FakeOAuthServer()
    async with open_streaming_transport(oauth) as transport:
        stage = Stage(oauth, transport)
        stage.has_browser = False
        stage.pasted.put("")  # the end of stdin

        async def come_later() -> None:
            while not stage.pasted.empty() or len(stage.told) < 3:
                await trio.lowlevel.checkpoint()
            await stage.browse(stage.address)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_later)
            tokens = await stage.sign_in()
    assert tokens.refresh_token in oauth.refresh_tokens


async def test_strangers_at_the_loopback_address_change_nothing() -> None:
    oauth = FakeOAuthServer()
    async with open_streaming_transport(oauth) as transport:
        stage = Stage(oauth, transport)

        async def browse(address: str) -> None:
            root = parse_qs(urlsplit(address).query)["redirect_uri"][0]
            for stranger in ("", "?code=x", "?state=x&code=y", "?state=x&error=access_denied"):
                await stage.visit(root + stranger)
            assert all("not the answer" in page for page in stage.pages)
            assert (await stage.visit(f"{root}favicon.ico")).status_code == 404
            await stage.browse(address)
            # A second visit, as a page that is loaded again, is too late.
            assert "not the answer" not in stage.pages[-1]

        def open_browser(address: str) -> bool:
            trio.from_thread.run(browse, address)
            return True

        tokens = await stage.sign_in(stage.person(open_browser))
    assert tokens.refresh_token in oauth.refresh_tokens


async def failure_of(oauth: FakeOAuthServer, client: OAuthClient | None = None) -> GscTrioError:
    async with open_streaming_transport(oauth) as transport:
        stage = Stage(oauth, transport)
        try:
            await sign_in(
                client or client_of(oauth), stage.person(), timeout_seconds=60, transport=transport
            )
        except GscTrioError as error:
            return error
    raise AssertionError("it signed in")


@pytest.mark.parametrize(
    ("consent", "message"),
    [
        ("declined", "the sign-in was declined in the browser: nothing was changed"),
        ("without scope", "was not ticked: sign in again and tick it"),
    ],
)
async def test_who_declines_is_told(consent: Consent, message: str) -> None:
    assert message in str(await failure_of(FakeOAuthServer(consent=consent)))


async def test_a_client_that_google_does_not_know_any_more() -> None:
    oauth = FakeOAuthServer()
    client = client_of(oauth)
    oauth.client_secret = "another"
    error = await failure_of(oauth, client)
    assert "invalid_client: The OAuth client was not found.; make a new OAuth client" in str(error)
    assert client.client_secret not in str(error)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(200, b"<html>"), "has no token in it"),
        (Answer(200, b"{}"), "Google did not sign you in: 200"),
        (Answer(500, b"{}"), "Google did not sign you in: 500"),
        (Answer(200, b'{"access_token": "x"}'), "Google gave no refresh token"),
    ],
)
async def test_answers_that_are_none(answer: Answer, message: str) -> None:
    oauth = FakeOAuthServer()
    oauth.failures.append(answer)
    assert message in str(await failure_of(oauth))


async def test_nobody_comes() -> None:
    person = Person(lambda _: None, lambda _: True, str)
    with pytest.raises(SignInError, match=r"^nobody signed in within 0.05 seconds$"):
        await sign_in(client_of(FakeOAuthServer()), person, timeout_seconds=0.05)


async def test_a_port_that_is_taken() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener:
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}: "):
            await sign_in(client_of(FakeOAuthServer()), Person(print, bool, str), port=port)


def test_an_answer_fits_only_its_own_attempt() -> None:
    client = client_of(FakeOAuthServer())
    one, other = (SignIn(client, "http://127.0.0.1:1/") for _ in range(2))
    state = parse_qs(urlsplit(one.address).query)["state"][0]
    assert one.code_in(f"http://127.0.0.1:1/?state={state}&code=4/x") == "4/x"
    with pytest.raises(NotOurRedirectError, match="another sign-in"):
        other.code_in(f"http://127.0.0.1:1/?state={state}&code=4/x")
    with pytest.raises(NotOurRedirectError, match="no code"):
        one.code_in(f"http://127.0.0.1:1/?state={state}")
    with pytest.raises(SignInError, match="did not sign you in: admin_policy"):
        one.code_in(f"http://127.0.0.1:1/?state={state}&error=admin_policy")
    form = one.token_form("4/x")
    assert form["code_verifier"] != other.token_form("4/x")["code_verifier"]
    assert form["code_verifier"] not in repr(one) + one.address
    assert state not in repr(one)


@pytest.mark.parametrize(
    "change",
    [
        "code_challenge_method=plain",
        "access_type=online",
        "response_type=token",
        "state=short",
        "code_challenge=short",
        "redirect_uri=https://evil.example/",
        "client_id=another",
        "scope=openid",
    ],
)
async def test_the_fake_refuses_an_address_that_breaks_the_protocol(change: str) -> None:
    oauth = FakeOAuthServer()
    address = SignIn(client_of(oauth), "http://127.0.0.1:1/").address
    name, _, value = change.partition("=")
    async with (
        open_streaming_transport(oauth) as transport,
        httpx.AsyncClient(transport=transport) as http,
    ):
        assert (await http.get(address)).status_code == 302
        changed = httpx.URL(address).copy_set_param(name, value)
        assert (await http.get(changed)).status_code in {400, 401}
    assert len(oauth.refusals) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"code_verifier": "wrong"},
        {"redirect_uri": "http://127.0.0.1:2/"},
        {"client_secret": "wrong"},
        {"code": "wrong"},
        {"grant_type": "password"},
    ],
)
async def test_the_fake_takes_a_code_once_and_only_with_all_it_was_asked_for_with(
    change: dict[str, str],
) -> None:
    oauth = FakeOAuthServer()
    client = client_of(oauth)
    attempt = SignIn(client, "http://127.0.0.1:1/")
    async with (
        open_streaming_transport(oauth) as transport,
        httpx.AsyncClient(transport=transport) as http,
    ):
        for form_change, statuses in ((change, {400, 401}), ({}, {200})):
            redirect = (await http.get(attempt.address)).headers["location"]
            form = attempt.token_form(attempt.code_in(redirect))
            answer = await http.post(client.token_uri, data={**form, **form_change})
            assert answer.status_code in statuses
        assert (await http.post(client.token_uri, data=form)).status_code == 400
    assert len(oauth.refusals) == 2


async def test_signing_out_revokes_and_may_be_done_twice() -> None:
    oauth = FakeOAuthServer()
    client = client_of(oauth)
    async with open_streaming_transport(oauth) as transport:
        tokens = await Stage(oauth, transport).sign_in()
        await revoke(client, tokens.refresh_token, transport=transport)
        assert tokens.refresh_token not in oauth.refresh_tokens
        assert tokens.access_token not in oauth.access_tokens
        await revoke(client, tokens.refresh_token, transport=transport)
    assert oauth.refusals == ["Token expired or revoked"]


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (503, b"", TransportError),
        (400, b'{"error": "invalid_request"}', SignInError),
        (404, b"1//s3cret", SignInError),
    ],
)
async def test_signing_out_that_fails(
    status: int, content: bytes, kind: type[GscTrioError]
) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    with pytest.raises(kind) as caught:
        await revoke(client_of(FakeOAuthServer()), "1//s3cret", transport=transport)
    assert "s3cret" not in str(caught.value)


async def test_signing_out_offline() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Network is unreachable")

    with pytest.raises(TransportError, match=r"cannot reach oauth.example: ConnectError"):
        await revoke(
            client_of(FakeOAuthServer()), "1//s3cret", transport=httpx.MockTransport(refuse)
        )
