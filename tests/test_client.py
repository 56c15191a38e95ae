"""The client against hand-written answers: what is sent, what is made of what comes back."""

from __future__ import annotations

import datetime as dt
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio.testing

from gsc_trio.client import Failure, SearchConsole, open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import (
    ApiError,
    BackendError,
    MalformedResponseError,
    PermissionDeniedError,
    RateLimitExceededError,
    TransportError,
    UnauthenticatedError,
)
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import Limited

QUERY = SearchAnalyticsQuery("https://example.com/a b/".replace(" ", "%20"))
JOBS = [Job(dt.date(2026, 3, number)) for number in (3, 2, 1)]
TOKEN = "ya29.very-secret"
ROWS = b'{"rows": [{"keys": ["https://example.com/", "a"], "clicks": 1, "impressions": 2.0}]}'

Handler = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def client_for(handler: Handler, limit: int = 100) -> AsyncIterator[SearchConsole]:
    settings = Settings(
        api_root="https://fake.example", access_token=TOKEN, queries_per_minute=limit
    )
    transport = httpx.MockTransport(handler)
    async with open_search_console(settings, transport=transport) as client:
        yield client


def batch_answer(*parts: tuple[str, bytes]) -> httpx.Response:
    """A batch answer from (content id, inner message) pairs."""
    body = b"".join(
        b"--b\r\nContent-Type: application/http\r\nContent-ID: <response-%b>\r\n\r\n%b\r\n"
        % (content_id.encode(), message)
        for content_id, message in parts
    )
    return httpx.Response(
        200, headers={"Content-Type": 'multipart/mixed; boundary="b"'}, content=body + b"--b--"
    )


def ok(content: bytes = ROWS) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + content


async def answers_of(client: SearchConsole) -> dict[Job, Page | Failure]:
    async with client.query_batch(QUERY, JOBS) as answers:
        return {(each.job): each async for each in answers}


def error_of(answer: Page | Failure) -> ApiError:
    assert isinstance(answer, Failure)
    return answer.error


async def test_a_query_is_sent_as_google_documents_it() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=ROWS)

    async with client_for(answer) as client:
        page = await client.query(QUERY, Job(dt.date(2026, 3, 1), 25_000))
    (request,) = seen
    assert request.method == "POST"
    assert request.url.raw_path == (
        b"/webmasters/v3/sites/https%3A%2F%2Fexample.com%2Fa%2520b%2F/searchAnalytics/query"
        b"?prettyPrint=false"
    )
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Accept-Encoding"] == "gzip"
    assert "gzip" in request.headers["User-Agent"]
    assert b'"startRow":25000' in request.content
    assert b'"startDate":"2026-03-01","endDate":"2026-03-01"' in request.content
    assert page.job == Job(dt.date(2026, 3, 1), 25_000)
    assert page.rows[0].keys == ("https://example.com/", "a")


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (httpx.Response(401, json={"error": {"message": "bad token"}}), UnauthenticatedError),
        (
            httpx.Response(403, json={"error": {"errors": [{"reason": "forbidden"}]}}),
            PermissionDeniedError,
        ),
        (
            httpx.Response(
                403,
                json={"error": {"message": "QPS", "errors": [{"reason": "quotaExceeded"}]}},
            ),
            RateLimitExceededError,
        ),
        (httpx.Response(502, html="<html>Bad Gateway</html>"), BackendError),
        (httpx.Response(302, headers={"Location": "https://evil.example"}), MalformedResponseError),
        (httpx.Response(200, html="<html>sign in</html>"), MalformedResponseError),
        (
            httpx.Response(
                200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no")
            ),
            MalformedResponseError,
        ),
    ],
)
async def test_each_kind_of_answer_is_its_own_error(
    response: httpx.Response, kind: type[ApiError]
) -> None:
    async with client_for(lambda request: response) as client:
        with pytest.raises(kind) as raised:
            await client.query(QUERY, JOBS[0])
    assert TOKEN not in repr(raised.value)
    assert "<html>" not in str(raised.value)


async def test_a_connection_that_fails_is_a_transport_error() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    async with client_for(refuse) as client:
        with pytest.raises(TransportError, match="ConnectError: connection refused"):
            await client.query(QUERY, JOBS[0])


async def test_parts_are_matched_by_id_in_any_order() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        empty = ok(b"{}")
        return batch_answer(("2", empty), ("0", ok()), ("1", empty))

    async with client_for(answer) as client:
        answers = await answers_of(client)
    assert list(answers) == [JOBS[2], JOBS[0], JOBS[1]]
    pages = [answers[job] for job in JOBS]
    assert [len(page.rows) for page in pages if isinstance(page, Page)] == [1, 0, 0]


async def test_a_part_with_its_own_error_fails_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        unavailable = b"HTTP/1.1 503\r\nRetry-After: 7\r\n\r\n"
        return batch_answer(("0", ok()), ("1", unavailable), ("2", ok(b'{"rows": 3}')))

    async with client_for(answer) as client:
        answers = await answers_of(client)
    assert isinstance(answers[JOBS[0]], Page)
    assert isinstance(error_of(answers[JOBS[1]]), BackendError)
    assert error_of(answers[JOBS[1]]).retry_after_seconds == 7
    assert isinstance(error_of(answers[JOBS[2]]), MalformedResponseError)


async def test_missing_doubled_unknown_and_garbled_parts_harm_nobody_else() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        other = ok(b"{}")
        return batch_answer(("0", ok()), ("0", other), ("77", other), ("2", b"what?"))

    async with client_for(answer) as client:
        answers = await answers_of(client)
    page = answers[JOBS[0]]
    assert isinstance(page, Page)
    assert len(page.rows) == 1
    assert "no part for this query" in str(error_of(answers[JOBS[1]]))
    assert "no HTTP status line" in str(error_of(answers[JOBS[2]]))


async def test_a_batch_that_is_cut_off_gives_the_parts_before_the_cut() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        whole = batch_answer(("0", ok()), ("1", ok()), ("2", ok()))
        return httpx.Response(200, headers=whole.headers, content=whole.content[:-120])

    received = []

    async def receive_all(client: SearchConsole) -> None:
        async with client.query_batch(QUERY, JOBS) as answers:
            async for each in answers:
                received.append(each.job)  # noqa: PERF401 - what came before the error counts

    async with client_for(answer) as client:
        with pytest.raises(MalformedResponseError, match="cut off"):
            await receive_all(client)
    assert received == JOBS[:2]


async def test_a_page_of_html_instead_of_a_batch_is_malformed() -> None:
    async with client_for(lambda request: httpx.Response(200, html="<p>hello")) as client:
        with pytest.raises(MalformedResponseError, match="no batch answer"):
            await answers_of(client)


async def test_every_call_counts_against_the_quota_and_a_batch_its_parts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/batch":
            return batch_answer(("0", ok()), ("1", ok()), ("2", ok()))
        return httpx.Response(200, content=ROWS)

    async with client_for(answer, limit=5) as client:
        await client.list_sites()
        await client.query(QUERY, JOBS[0])
        await answers_of(client)
        assert isinstance(client.limiter.check_rate(client.user, QUERY.site_url), Limited)
        before = trio.current_time()
        await client.query(QUERY, JOBS[0])
        assert trio.current_time() - before >= 60


async def test_a_parts_permit_comes_back_a_minute_after_the_part(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return batch_answer(("0", ok()), ("1", ok()), ("2", ok()))

    async with client_for(answer, limit=3) as client:
        await answers_of(client)
        with await client.limiter.acquire(client.user, QUERY.site_url):
            # Parts that were not settled would be held for the grace time beyond it.
            assert 60 <= trio.current_time() < 61


async def test_permits_the_caller_brings_are_used_and_left_to_the_caller() -> None:
    async with client_for(lambda request: httpx.Response(200, content=ROWS), limit=1) as client:
        grant = client.limiter.check_rate(client.user, QUERY.site_url)
        assert isinstance(grant, Grant)
        await client.query(QUERY, JOBS[0], grant=grant)
        grant.close()
        assert isinstance(client.limiter.check_rate(client.user, QUERY.site_url), Limited)


async def test_sites_are_listed_with_their_permission_level() -> None:
    body = {"siteEntry": [{"siteUrl": "sc-domain:example.com", "permissionLevel": "siteOwner"}]}
    async with client_for(lambda request: httpx.Response(200, json=body)) as client:
        (site,) = await client.list_sites()
    assert (site.site_url, site.permission_level) == ("sc-domain:example.com", "siteOwner")
    async with client_for(lambda request: httpx.Response(200, json={})) as client:
        assert await client.list_sites() == []


async def test_an_answer_that_was_read_is_not_kept() -> None:
    """Not even until the garbage collector comes, which may be hundreds of full pages later."""
    megabytes = 4

    async def content() -> AsyncIterator[bytes]:
        yield b'{"responseAggregationType": "'
        for _ in range(megabytes):
            yield b"a" * 1024 * 1024
        yield b'"}'

    async with client_for(lambda _: httpx.Response(200, content=content())) as client:
        await client.query(QUERY, JOBS[0])
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(3):
                await client.query(QUERY, JOBS[0])
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert kept < megabytes * 1024 * 1024
