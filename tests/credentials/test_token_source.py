"""Access tokens through google-auth: in a thread, one renewal at a time, failures explained."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from gsc_trio.access import AccessToken
from gsc_trio.credentials import choice, token_source
from gsc_trio.credentials.accounts import AccountsFile, UserAccount
from gsc_trio.credentials.files import OAuthClient
from gsc_trio.credentials.google_transport import HttpxRequest
from gsc_trio.credentials.token_source import GoogleTokenSource, Identity, hide_secrets
from gsc_trio.errors import GscTrioError, SignInError, TransportError
from gsc_trio.testing import FakeOAuthServer
from gsc_trio.testing.answers import Answer
from tests.credentials.conftest import blocking_transport

ROOT = "http://127.0.0.1:1"
REFRESH_TOKEN = "1//a-refresh-token-s3cret"
ECHO = f"a\n{REFRESH_TOKEN}"


def user_source(
    oauth: FakeOAuthServer, transport: httpx.BaseTransport, folder: Path
) -> GoogleTokenSource:
    oauth.refresh_tokens.add(REFRESH_TOKEN)
    installed = oauth.client_file(ROOT)["installed"]
    client = OAuthClient(**{name: installed[name] for name in OAuthClient.__struct_fields__})
    stored = AccountsFile(folder / "accounts.json")
    stored.put("agency", UserAccount(client, REFRESH_TOKEN, dt.datetime.now(dt.UTC)))
    source = choice.source_of(stored, "agency")
    source._request = HttpxRequest(transport)
    return source


def robot_source(
    oauth: FakeOAuthServer, transport: httpx.BaseTransport, folder: Path
) -> GoogleTokenSource:
    path = folder / "robot.json"
    path.write_text(json.dumps(oauth.key_file(ROOT)))
    source = choice.service_account_source(path)
    source._request = HttpxRequest(transport)
    return source


MakeSource = Callable[[FakeOAuthServer, httpx.BaseTransport, Path], GoogleTokenSource]


async def error_of(source: GoogleTokenSource) -> GscTrioError:
    with pytest.raises(GscTrioError) as caught:
        await source()
    for secret in (REFRESH_TOKEN, "PRIVATE KEY"):
        assert secret not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("make", "grant_type"),
    [(user_source, "refresh_token"), (robot_source, "urn:ietf:params:oauth:grant-type:jwt-bearer")],
)
async def test_a_token_that_the_server_knows(
    make: MakeSource, grant_type: str, tmp_path: Path
) -> None:
    oauth = FakeOAuthServer()
    async with blocking_transport(oauth) as transport:
        token = await make(oauth, transport, tmp_path)()
    assert token.value in oauth.access_tokens
    assert token.lifetime_seconds == pytest.approx(3_600, abs=10)
    assert (oauth.grants, oauth.refusals) == ([grant_type], [])


async def test_all_who_need_one_at_once_wait_for_the_same(tmp_path: Path) -> None:
    oauth = FakeOAuthServer()
    given: list[AccessToken] = []

    async def ask(source: GoogleTokenSource) -> None:
        given.append(await source())

    async with blocking_transport(oauth) as transport:
        source = user_source(oauth, transport, tmp_path)
        for round_number in (1, 2):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(ask, source)
            assert len(oauth.grants) == round_number
            assert len({token.value for token in given}) == round_number


class Blocking:
    """Credentials whose renewal blocks its thread."""

    token: str | None = None
    expiry: dt.datetime | None = None

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.go_on = threading.Event()

    def refresh(self, request: object) -> None:
        self.thread = threading.current_thread()
        self.go_on.wait(timeout=10)
        self.token = "late"


async def test_the_event_loop_goes_on_while_a_renewal_blocks() -> None:
    credentials = Blocking()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(GoogleTokenSource(credentials))
        await trio.testing.wait_all_tasks_blocked()
        credentials.go_on.set()  # reached although the renewal blocks
    assert credentials.token == "late"
    assert credentials.thread is not threading.current_thread()


async def test_a_renewal_has_a_deadline_and_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_source, "RENEWAL_SECONDS", 0.05)
    credentials = Blocking()
    with pytest.raises(TransportError, match="no new access token within"):
        await GoogleTokenSource(credentials)()
    credentials.go_on.set()


async def test_a_token_that_is_there_already_is_taken_first(tmp_path: Path) -> None:
    credentials = Blocking()
    credentials.go_on.set()
    credentials.token = "first"
    source = GoogleTokenSource(credentials)
    assert [(await source()).value for _ in range(2)] == ["first", "late"]
    credentials.token, credentials.expiry = "old", dt.datetime(2020, 1, 1)  # noqa: DTZ001
    assert (await GoogleTokenSource(credentials)()).value == "late"


async def test_a_revoked_sign_in_says_what_to_do_and_asks_no_more(tmp_path: Path) -> None:
    oauth = FakeOAuthServer()
    async with blocking_transport(oauth) as transport:
        source = user_source(oauth, transport, tmp_path)
        oauth.revoke_all()
        for _ in range(2):
            error = await error_of(source)
            assert isinstance(error, SignInError)
            assert str(error) == (
                "account agency was refused by Google (invalid_grant: Token has been expired or "
                "revoked.): run `gsc-trio login --account agency` again"
            )
    assert oauth.refusals == ["Token has been expired or revoked."]


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (720, "clock is 12 minutes ahead of Google's"),
        (-7_200, "clock is 2 hours behind Google's"),
    ],
)
async def test_a_wrong_clock_is_named_with_its_error(
    seconds: float, message: str, tmp_path: Path
) -> None:
    # The server's clock is moved, not this machine's: only the difference counts.
    oauth = FakeOAuthServer(clock=lambda: time.time() - seconds)
    async with blocking_transport(oauth) as transport:
        error = await error_of(robot_source(oauth, transport, tmp_path))
    assert isinstance(error, SignInError)
    assert message in str(error)
    assert "set the clock right and run again" in str(error)


async def test_a_persons_sign_in_does_not_mind_a_wrong_clock(tmp_path: Path) -> None:
    oauth = FakeOAuthServer(clock=lambda: time.time() - 7_200)
    async with blocking_transport(oauth) as transport:
        token = await user_source(oauth, transport, tmp_path)()
    assert token.lifetime_seconds == pytest.approx(3_600, abs=10)


async def test_a_deleted_service_account_is_no_matter_of_clocks(tmp_path: Path) -> None:
    oauth = FakeOAuthServer(clock=lambda: time.time() - 720)
    async with blocking_transport(oauth) as transport:
        source = robot_source(oauth, transport, tmp_path)
        oauth.client_email = "another@example.com"
        error = await error_of(source)
    assert "Invalid grant: account not found" in str(error)
    assert "still exist" in str(error)
    assert "clock" not in str(error)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Answer(503, b"{}"), TransportError, "127.0.0.1 answered 503"),
        (Answer(429, b"{}"), TransportError, "127.0.0.1 answered 429"),
        (Answer(500, b"<html>" * 100), TransportError, "127.0.0.1 answered 500"),
        (Answer(200, b"<html>a hotel</html>"), TransportError, "no OAuth answer"),
        (Answer(200, b"[]"), TransportError, "no OAuth answer"),
        (Answer(200, b'{"token_type": "Bearer"}'), TransportError, "no OAuth answer"),
        (Answer(404, b"<html>"), SignInError, "an answer with status 404"),
        (Answer(400, b'{"error": ["x"]}'), SignInError, "an answer with status 400"),
        (
            Answer(
                400, b'{"error": "odd", "error_description": "a\\n%s"}' % REFRESH_TOKEN.encode()
            ),
            SignInError,
            r"\(odd: a \[hidden\]\)",
        ),
    ],
)
@pytest.mark.parametrize("make", [user_source, robot_source])
async def test_every_answer_is_told_apart_without_asking_twice(
    make: MakeSource,
    answer: Answer,
    kind: type[GscTrioError],
    message: str,
    tmp_path: Path,
) -> None:
    oauth = FakeOAuthServer()
    oauth.failures.append(answer)
    async with blocking_transport(oauth) as transport:
        source = make(oauth, transport, tmp_path)
        with pytest.raises(kind, match=message) as caught:
            await source()
        assert REFRESH_TOKEN not in str(caught.value)
        assert oauth.failures == []
        assert oauth.grants == []  # google-auth did not ask again
        if kind is TransportError:
            assert (await source()).value in oauth.access_tokens


async def test_offline(tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Network is unreachable")

    source = user_source(FakeOAuthServer(), httpx.MockTransport(refuse), tmp_path)
    error = await error_of(source)
    assert isinstance(error, TransportError)
    assert "127.0.0.1: ConnectError: Network is unreachable" in str(error)


async def test_a_refresh_token_that_is_replaced_is_kept(tmp_path: Path) -> None:
    oauth = FakeOAuthServer(rotates_refresh_tokens=True)
    async with blocking_transport(oauth) as transport:
        source = user_source(oauth, transport, tmp_path)
        for _ in range(3):
            await source()
        stored = AccountsFile(tmp_path / "accounts.json")
        again = choice.source_of(stored, "agency")
        again._request = HttpxRequest(transport)
        assert (await again()).value in oauth.access_tokens
    assert oauth.refusals == []


async def test_a_refresh_token_that_cannot_be_kept_costs_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    oauth = FakeOAuthServer(rotates_refresh_tokens=True)
    async with blocking_transport(oauth) as transport:
        source = user_source(oauth, transport, tmp_path)
        (tmp_path / "accounts.json").chmod(0o666)
        assert (await source()).value in oauth.access_tokens
    assert "the new sign-in of account agency was not kept" in caplog.text
    assert not any(token in caplog.text for token in oauth.refresh_tokens)


async def test_credentials_that_cannot_be_renewed_say_so() -> None:
    from google.oauth2.credentials import Credentials

    source = GoogleTokenSource(Credentials("s3cret-token"), Identity("mine", "do something"))
    assert (await source()).value == "s3cret-token"
    with pytest.raises(SignInError, match=r"^mine: .*refresh_token.*: do something$"):
        await source()


def test_nothing_is_shown(tmp_path: Path) -> None:
    source = user_source(
        FakeOAuthServer(), httpx.MockTransport(lambda _: httpx.Response(200)), tmp_path
    )
    assert REFRESH_TOKEN not in repr(source)
    assert "s3cret" not in repr(Identity("x", secrets=("s3cret",)))


@pytest.mark.parametrize(
    "text",
    [
        "got ya29.a0AfH6SMBx-secret",
        "got 1//09abcdefgh-secret",
        "got GOCSPX-abcdefgh_secret",
        "got eyJhbGciOiJSUzI1NiJ9.secret.secret",
        "got Bearer abcdefgh.secret",
        "got a_secret",
    ],
)
def test_secrets_are_hidden_in_texts_from_outside(text: str) -> None:
    assert hide_secrets(f"{text}, no good", ("a_secret", None)).endswith("[hidden], no good")
    assert len(hide_secrets("x" * 10_000, ())) == 300
    assert hide_secrets("a\x1b[31m\r\nb", ()) == "a [31m b"


def test_google_auths_requests_have_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200)

    HttpxRequest(httpx.MockTransport(answer))("https://a.example/")
    assert all(0 < seconds <= 20 for seconds in seen[0].values())
