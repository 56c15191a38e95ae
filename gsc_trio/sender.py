"""HTTP requests with a token and under permits; what goes wrong becomes an `ApiError`.

Responsible for: adding the access token, telling the grant and the instruments what was sent, and
turning httpx's errors and Google's into `gsc_trio.errors.ApiError`.
Must never: send without a permit, retry (the retry policy does), or show the token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import attrs
import httpx

from gsc_trio.access import AccessToken, AccessTokens
from gsc_trio.errors import MalformedResponseError, TransportError
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.instrument import Instruments
from gsc_trio.telemetry.requests import told_request
from gsc_trio.wire.api_errors import classify


@attrs.frozen
class Sender:
    """Sends what `gsc_trio.client.SearchConsole` asks for, for one user."""

    http: httpx.AsyncClient
    limiter: RateLimiter
    user: str
    tokens: AccessTokens
    instruments: Instruments

    def build(
        self, method: str, path: str, content: bytes | None = None, *, content_type: str | None
    ) -> httpx.Request:
        """A request that is not sent yet."""
        headers = {} if content_type is None else {"Content-Type": content_type}
        return self.http.build_request(method, path, content=content, headers=headers)

    @asynccontextmanager
    async def permits(self, site_url: str, count: int, grant: Grant | None) -> AsyncIterator[Grant]:
        """The caller's permits, which the caller closes, or our own."""
        if grant is not None:
            yield grant
            return
        with await self.limiter.acquire(self.user, site_url, count) as own:
            yield own

    async def fetch(self, request: httpx.Request, grant: Grant) -> tuple[httpx.Headers, bytes]:
        """Send one query, and read its whole answer: its headers and its content.

        Raises:
            ApiError: there is no answer, or not one with status 200.
            StorageError: the query may not be sent any more.
        """
        async with self.stream(request, grant, queries=1) as (response, _):
            with transport_errors():
                # A response that knows its content keeps it until the garbage collector comes,
                # since it and its stream know each other: megabytes each, and it seldom comes.
                content = b"".join([chunk async for chunk in response.aiter_bytes()])
        grant.settle()
        self.tokens.accept()
        return response.headers, content

    @asynccontextmanager
    async def stream(
        self, request: httpx.Request, grant: Grant, *, queries: int
    ) -> AsyncIterator[tuple[httpx.Response, AccessToken | None]]:
        """Send; give a 200's body to be streamed with the token it took, raise everything else."""
        token = await self.tokens.current()
        if token is not None:
            request.headers.update(token.headers)
        async with AsyncExitStack() as stack:
            told = stack.enter_context(told_request(self.instruments, request, queries))
            await grant.confirm()
            grant.mark_sent(queries)
            request.stream = ConfirmedBody(request.content, grant)
            with transport_errors():
                response = await self.http.send(request, stream=True)
                told.status = response.status_code
                stack.push_async_callback(response.aclose)
                if response.status_code != httpx.codes.OK:
                    await response.aread()
            if response.status_code != httpx.codes.OK:
                grant.settle(queries)
                error = classify(
                    response.status_code, response.content, response.headers.get("Retry-After")
                )
                raise self.tokens.judge(error, token)
            yield response, token


@attrs.frozen
class ConfirmedBody(httpx.AsyncByteStream):
    """A request's body whose last byte leaves only when the grant says that it may.

    Making a connection can take seconds, and the process may be stopped in them. A server does
    nothing with a request, and counts nothing, before it has all of it.
    """

    content: bytes
    grant: Grant

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body, for httpx to send."""
        pieces = [self.content[:-1], self.content[-1:]] if self.content else []
        return _ConfirmedPieces(self.grant, pieces)


@attrs.define
class _ConfirmedPieces(AsyncIterator[bytes]):
    """Not a generator, which must be closed: httpx, when cancelled, drops it halfway."""

    grant: Grant
    pieces: list[bytes]
    is_confirmed: bool = False

    async def __anext__(self) -> bytes:
        if self.is_confirmed and not self.pieces:
            raise StopAsyncIteration
        await self.grant.confirm()
        self.is_confirmed = True
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


@contextmanager
def transport_errors() -> Iterator[None]:
    """Turn httpx's errors into ours."""
    try:
        yield
    except httpx.DecodingError as error:
        raise MalformedResponseError(f"the answer cannot be decompressed: {error}") from error
    except httpx.TransportError as error:
        what = str(error) or "no answer in time"
        raise TransportError(f"{type(error).__name__}: {what}") from error
