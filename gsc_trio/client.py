"""The Search Console API over httpx: queries, batches of queries, sites, sitemaps, inspections.

Responsible for: what each method sends, and answers that are streamed and decoded one by one.
`gsc_trio.sender` sends. Every call goes through the rate limiter; a batch counts its parts.
Must never: follow redirects (they would carry the access token elsewhere) or hold a whole batch in
memory.
"""

from __future__ import annotations

import datetime as dt
import ssl
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import (
    AbstractAsyncContextManager,
    aclosing,
    asynccontextmanager,
    nullcontext,
)
from functools import cache
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
from gsc_trio.errors import ApiError, MalformedResponseError
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.permits import Grant
from gsc_trio.rate_limiter import RateLimiter
from gsc_trio.sender import Sender, transport_errors
from gsc_trio.telemetry.instrument import Instrument, Instruments
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

JSON = "application/json"

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
        sender: Sender,
        *,
        settings: Settings,
        on_answer: OnAnswer | None,
        decoding: trio.Lock | None = None,
    ) -> None:
        self._sender = sender
        self._on_answer = on_answer
        # Side by side, ten answers would all be ready when the last one is.
        self._decoding = decoding or trio.Lock()
        self.settings = settings
        """What it was opened with; runs that are given no settings take these."""
        self.limiter = sender.limiter
        """What gives permits; shared by everyone who spends the same quota."""
        self.user = sender.user
        """Whose quota is spent: a name, no secret."""

    def also_told(self, *instruments: Instrument) -> SearchConsole:
        """This client for one of several runs that share it: they hear of its requests, too."""
        told = Instruments([self._sender.instruments, *instruments])
        return SearchConsole(
            attrs.evolve(self._sender, instruments=told),
            settings=self.settings,
            on_answer=self._on_answer,
            decoding=self._decoding,
        )

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
        request = self._sender.build(
            "POST", query_path(query.site_url), encode_query(query, job), content_type=JSON
        )
        async with self._sender.permits(query.site_url, 1, grant) as held:
            headers, content = await self._sender.fetch(request, held)
        return await self._decode(query, job, headers, content, admit)

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
        request = self._sender.build(
            "POST",
            self.settings.batch_path,
            encode_batch(calls, boundary),
            content_type=batch_content_type(boundary),
        )
        async with (
            self._sender.permits(query.site_url, len(jobs), grant) as held,
            self._sender.stream(request, held, queries=len(jobs)) as (response, token),
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
        request = self._sender.build(
            method, path, content, content_type=None if content is None else JSON
        )
        async with self._sender.permits("", 1, grant) as held:
            _, answer = await self._sender.fetch(request, held)
        return answer

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
            with transport_errors():
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            # A part weighs much, and so does a page: neither is kept while the other is waited for.
            parts = deque(decoder.feed(chunk))
            while parts:
                # A doubled part, or one with an id that was never sent, answers nothing.
                job = unanswered.pop(parts[0].content_id or "", None)
                if job is None:
                    parts.popleft()
                    continue
                grant.settle()
                answer = await self._answer(query, job, parts.popleft(), admit)
                if isinstance(answer, Failure):
                    answer = Failure(job, self._sender.tokens.judge(answer.error, token))
                else:
                    self._sender.tokens.accept()
                yield answer
                del answer
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
        verify=_trusted(is_encrypted=settings.api_root.startswith("https:")),
    ) as http:
        telemetry = Instruments(instruments)
        sender = Sender(
            http=http,
            limiter=limiter or RateLimiter.from_settings(settings, telemetry),
            user=user or user_of(source),
            tokens=AccessTokens(settings.access_token, source),
            instruments=telemetry,
        )
        yield SearchConsole(sender, settings=settings, on_answer=on_answer)


@cache
def _trusted(*, is_encrypted: bool) -> ssl.SSLContext:
    """Whom to believe: loading the authorities takes 20 ms, so all clients of a process share them.

    Args:
        is_encrypted: whether a connection is to be; where none is, nobody has to be believed.
    """
    return httpx.create_ssl_context() if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
