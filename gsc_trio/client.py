"""The Search Console API over httpx: queries, batches of queries, sites, sitemaps, inspections.

Responsible for: sending, streaming answers, and turning everything that can go wrong into an
`gsc_trio.errors.ApiError`. Every call goes through the rate limiter; a batch counts its parts.
Must never: retry (the retry policy does), follow redirects (they would carry the access token
elsewhere), hold a whole batch in memory, or show the token.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from importlib.metadata import version

import attrs
import httpx
import trio

from gsc_trio.access import AccessToken, AccessTokens, TokenSource
from gsc_trio.config import Settings
from gsc_trio.credentials.token_source import (
    GoogleCredentials,
    GoogleTokenSource,
    as_token_source,
)
from gsc_trio.errors import ApiError, MalformedResponseError, TransportError
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.telemetry.instrument import Instrument, Instruments
from gsc_trio.telemetry.requests import told_request
from gsc_trio.wire.api_errors import classify
from gsc_trio.wire.inspection import (
    INSPECTION_PATH,
    Inspection,
    decode_inspection,
    encode_inspection,
)
from gsc_trio.wire.multipart import (
    BatchCall,
    BatchPart,
    MultipartDecoder,
    batch_content_type,
    choose_boundary,
    encode_batch,
)
from gsc_trio.wire.query import decode_page_in_steps, encode_query, query_path
from gsc_trio.wire.sites import (
    SITES_PATH,
    Site,
    Sitemap,
    decode_sitemaps,
    decode_sites,
    sitemaps_path,
)

USER_AGENT = f"gsc-trio/{version('gsc-trio')} (gzip)"
"""Google compresses answers only if "gzip" is also in the user agent (Source: Google APIs'
performance guide)."""

DEFAULT_USER = "access-token"
"""Whose quota is spent, where nobody says who it is."""

Admit = Callable[[Job, int], AbstractAsyncContextManager[None]]
"""Waits until there is room for a job's answer, given the length of its JSON in bytes; the answer
is decoded in its body."""

OnAnswer = Callable[[SearchAnalyticsQuery, Job, Mapping[str, str], bytes, int], Awaitable[None]]
"""Gets each answer that is a page, before the page is handed over: the query, the job, the answer's
headers with names in lower case, its JSON, and how many rows it has."""


@attrs.frozen
class Failure:
    """A job that was not answered with a page."""

    job: Job
    error: ApiError


class SearchConsole:
    """A client for one user of the Search Console API; made by `open_search_console`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        limiter: RateLimiter,
        *,
        user: str,
        settings: Settings,
        tokens: AccessTokens,
        instruments: Instruments,
        on_answer: OnAnswer | None,
    ) -> None:
        self._http = http
        self._on_answer = on_answer
        self._instruments = instruments
        self._tokens = tokens
        # Side by side, ten answers would all be ready when the last one is.
        self._decoding = trio.Lock()
        self.settings = settings
        """What it was opened with; runs that are given no settings take these."""
        self.limiter = limiter
        """What gives permits; shared by everyone who spends the same quota."""
        self.user = user
        """Whose quota is spent: a name, no secret."""

    async def query(
        self,
        query: SearchAnalyticsQuery,
        job: Job,
        *,
        grant: Grant | None = None,
        admit: Admit | None = None,
    ) -> Page:
        """One searchanalytics.query call.

        Args:
            query: what to ask for.
            job: which day, from which row on.
            grant: permits that are already there; without, it waits for one.
            admit: what the answer is decoded in, once there is room for it.

        Raises:
            ApiError: the kind says whether asking again may help.
        """
        async with self._permits(query.site_url, 1, grant) as held:
            request = self._http.build_request(
                "POST",
                query_path(query.site_url),
                content=encode_query(query, job),
                headers={"Content-Type": "application/json"},
            )
            response = await self._fetch(request, held)
        return await self._decode(query, job, response.headers, response.content, admit)

    @asynccontextmanager
    async def query_batch(
        self,
        query: SearchAnalyticsQuery,
        jobs: Sequence[Job],
        *,
        grant: Grant | None = None,
        admit: Admit | None = None,
    ) -> AsyncIterator[AsyncIterator[Page | Failure]]:
        """Many searchanalytics.query calls in one HTTP request, answered one by one.

        Used as ``async with client.query_batch(query, jobs) as answers``; ``answers`` gives a
        `Page` or a `Failure` for each job as its part arrives, in any order, each job once. While
        nobody asks for the next answer, nothing more is read from the socket.

        Args:
            query: what to ask for.
            jobs: which days, from which rows on; at most 1,000.
            grant: permits for all of them that are already there; without, it waits for them.
            admit: what each answer is decoded in, once there is room for it.

        Raises:
            ApiError: the whole request failed, at once or in the middle of the answers. Jobs that
                were not answered until then are the caller's to ask for again.
        """
        jobs_by_id = {str(number): job for number, job in enumerate(jobs)}
        calls = [
            BatchCall(
                content_id=content_id,
                method="POST",
                path=query_path(query.site_url),
                content=encode_query(query, job),
            )
            for content_id, job in jobs_by_id.items()
        ]
        boundary = choose_boundary(calls)
        request = self._http.build_request(
            "POST",
            self.settings.batch_path,
            content=encode_batch(calls, boundary),
            headers={"Content-Type": batch_content_type(boundary)},
        )
        async with (
            self._permits(query.site_url, len(jobs), grant) as held,
            self._send(request, held, queries=len(jobs)) as (response, token),
            aclosing(self._answers(response, query, jobs_by_id, held, token, admit)) as answers,
        ):
            yield answers

    async def list_sites(self) -> list[Site]:
        """The properties that the user can see.

        Raises:
            ApiError: as for `query`.
        """
        return decode_sites(await self._call("GET", SITES_PATH))

    async def list_sitemaps(self, site_url: str) -> list[Sitemap]:
        """The sitemaps of a property.

        Raises:
            ApiError: as for `query`.
        """
        return decode_sitemaps(await self._call("GET", sitemaps_path(site_url)))

    async def inspect_url(
        self, site_url: str, inspection_url: str, *, language_code: str = "en-US", grant: Grant
    ) -> Inspection:
        """What Google's index has of a URL.

        Args:
            site_url: the property that the URL is in.
            inspection_url: the URL.
            language_code: in which language Google explains itself (BCP 47).
            grant: a permit for it. URL Inspection has quotas of its own, so it comes from a
                limiter of its own.

        Raises:
            ApiError: as for `query`.
        """
        body = encode_inspection(site_url, inspection_url, language_code)
        content = await self._call("POST", INSPECTION_PATH, body, grant=grant)
        now = dt.datetime.now(dt.UTC)
        return decode_inspection(site_url, inspection_url, content, now)

    async def _call(
        self, method: str, path: str, content: bytes | None = None, *, grant: Grant | None = None
    ) -> bytes:
        """One call of a method that answers with a single JSON object; returns that."""
        async with self._permits("", 1, grant) as held:
            request = self._http.build_request(
                method,
                path,
                content=content,
                headers={} if content is None else {"Content-Type": "application/json"},
            )
            return (await self._fetch(request, held)).content

    async def _answer(
        self, query: SearchAnalyticsQuery, job: Job, part: BatchPart, admit: Admit | None
    ) -> Page | Failure:
        if part.status == 0:
            return Failure(job, MalformedResponseError(part.reason))
        if part.status != httpx.codes.OK:
            error = classify(part.status, part.content, part.headers.get("retry-after"))
            return Failure(job, error)
        try:
            return await self._decode(query, job, part.headers, part.content, admit)
        except MalformedResponseError as error:
            return Failure(job, error)

    async def _decode(
        self,
        query: SearchAnalyticsQuery,
        job: Job,
        headers: Mapping[str, str],
        content: bytes,
        admit: Admit | None,
    ) -> Page:
        """Decode a page and let others run between its steps."""
        async with admit(job, len(content)) if admit else nullcontext(), self._decoding:
            steps = decode_page_in_steps(query, job, content)
            while (page := next(steps)) is None:
                await trio.lowlevel.checkpoint()
        if self._on_answer is not None:
            await self._on_answer(query, job, headers, content, len(page.rows))
        return page

    @asynccontextmanager
    async def _permits(self, site: str, count: int, grant: Grant | None) -> AsyncIterator[Grant]:
        """The caller's permits, which the caller closes, or our own."""
        if grant is not None:
            yield grant
            return
        with await self.limiter.acquire(self.user, site, count) as own:
            yield own

    async def _fetch(self, request: httpx.Request, grant: Grant) -> httpx.Response:
        async with self._send(request, grant, queries=1) as (response, _):
            with _transport_errors():
                await response.aread()
        grant.settle()
        self._tokens.accept()
        return response

    @asynccontextmanager
    async def _send(
        self, request: httpx.Request, grant: Grant, *, queries: int
    ) -> AsyncIterator[tuple[httpx.Response, AccessToken | None]]:
        """Send; give a 200's body to be streamed with the token it took, raise everything else."""
        token = await self._tokens.current()
        if token is not None:
            request.headers.update(token.headers)
        async with AsyncExitStack() as stack:
            told = stack.enter_context(told_request(self._instruments, request, queries))
            grant.mark_sent(queries)
            with _transport_errors():
                response = await self._http.send(request, stream=True)
                told.status = response.status_code
                stack.push_async_callback(response.aclose)
                if response.status_code != httpx.codes.OK:
                    await response.aread()
            if response.status_code != httpx.codes.OK:
                grant.settle(queries)
                error = classify(
                    response.status_code, response.content, response.headers.get("Retry-After")
                )
                raise self._tokens.judge(error, token)
            yield response, token

    async def _answers(
        self,
        response: httpx.Response,
        query: SearchAnalyticsQuery,
        jobs_by_id: dict[str, Job],
        grant: Grant,
        token: AccessToken | None,
        admit: Admit | None,
    ) -> AsyncGenerator[Page | Failure, None]:
        unanswered = dict(jobs_by_id)
        decoder = MultipartDecoder(response.headers.get("Content-Type", ""))
        chunks = response.aiter_bytes()
        while True:
            with _transport_errors():
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            for part in decoder.feed(chunk):
                # A doubled part, or one with an id that was never sent, answers nothing.
                job = unanswered.pop(part.content_id or "", None)
                if job is not None:
                    grant.settle()
                    answer = await self._answer(query, job, part, admit)
                    if isinstance(answer, Failure):
                        answer = Failure(job, self._tokens.judge(answer.error, token))
                    else:
                        self._tokens.accept()
                    yield answer
                    del answer
                del part  # a page weighs much, and the next one may be long in coming
        decoder.close()
        for job in unanswered.values():
            error = MalformedResponseError("the batch's answer has no part for this query")
            yield Failure(job, error)


def user_of(credentials: GoogleCredentials | TokenSource | None) -> str:
    """A name for whose quota is spent with these credentials; no secret."""
    if isinstance(credentials, GoogleTokenSource):
        return credentials.identity.name
    return DEFAULT_USER


@asynccontextmanager
async def open_search_console(
    settings: Settings,
    *,
    limiter: RateLimiter | None = None,
    user: str | None = None,
    credentials: GoogleCredentials | TokenSource | None = None,
    instruments: Iterable[Instrument] = (),
    transport: httpx.AsyncBaseTransport | None = None,
    on_answer: OnAnswer | None = None,
) -> AsyncIterator[SearchConsole]:
    """Open a client.

    Args:
        settings: address, access token, timeouts and limits.
        limiter: one to share with other clients; by default its own, with the settings' limits.
        user: a name for whose quota is spent; no secret. By default that of the credentials.
        credentials: google-auth's, or what gives access tokens: when the settings have none, when
            one is about to end, and when one is refused.
        instruments: who is told of HTTP requests, and by its own limiter of quota use and pauses.
        transport: what to send through instead of the network, as the testing kit does.
        on_answer: who gets the answers that are pages, as a recorder does.
    """
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"}
    source = as_token_source(credentials)
    timeout = httpx.Timeout(
        settings.read_timeout_seconds, connect=settings.connect_timeout_seconds, pool=None
    )
    async with httpx.AsyncClient(
        base_url=settings.api_root,
        headers=headers,
        timeout=timeout,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        transport=transport,
    ) as http:
        telemetry = Instruments(instruments)
        yield SearchConsole(
            http,
            limiter or RateLimiter.from_settings(settings, telemetry),
            user=user or user_of(source),
            settings=settings,
            tokens=AccessTokens(settings.access_token, source),
            instruments=telemetry,
            on_answer=on_answer,
        )


@contextmanager
def _transport_errors() -> Iterator[None]:
    """Turn httpx's errors into ours."""
    try:
        yield
    except httpx.DecodingError as error:
        raise MalformedResponseError(f"the answer cannot be decompressed: {error}") from error
    except httpx.TransportError as error:
        what = str(error) or "no answer in time"
        raise TransportError(f"{type(error).__name__}: {what}") from error
