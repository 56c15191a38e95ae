"""The fake Search Console: one ASGI app that answers as Google does, and writes down what it saw.

Responsible for: routes, access tokens, quota, latency, faults, and streaming a batch's answer
part by part. What a single call is answered is in `gsc_trio.testing.answers`.
"""

from __future__ import annotations

import datetime as dt
import email
import random
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Container,
    Iterable,
    Mapping,
    MutableMapping,
)
from contextlib import aclosing
from email.message import Message
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import attrs
import trio

from gsc_trio.testing import answers
from gsc_trio.testing.answers import Answer
from gsc_trio.testing.faults import (
    Action,
    BadGzip,
    BadJson,
    CutOff,
    DoubledPart,
    Fault,
    FaultScript,
    HtmlPage,
    MissingPart,
    Refuse,
    ShiftedRows,
    Stall,
    UnknownPart,
)
from gsc_trio.testing.latency import Latency
from gsc_trio.testing.property import SimulatedProperty
from gsc_trio.testing.query_request import QueryRequest
from gsc_trio.testing.quota import InspectionQuota, Quota
from gsc_trio.testing.replay import RecordedProperty
from gsc_trio.testing.response import ConnectionCutError, Response, Send
from gsc_trio.testing.site_methods import SiteMethods
from gsc_trio.testing.spliced_gzip import DeflatedPiece

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_BOUNDARY = "batch_fake-search-console"
_BATCH_PATHS = ("/batch", "/batch/webmasters/v3", "/batch/searchconsole/v1")


@attrs.frozen
class SeenCall:
    """A searchanalytics.query call that arrived."""

    time: float
    """When its answer was decided, in seconds of trio's clock."""
    user: str
    site_url: str
    data_date: str
    """Its startDate."""
    start_row: int
    status: int
    """What it was to be answered."""
    fault: Action | None
    """What went wrong with that answer, if anything."""
    batch: int | None
    """The number of its batch, or None."""


@attrs.frozen
class _Call:
    """An inner or outer HTTP request."""

    method: str
    path: str
    content: bytes
    content_id: str = ""


@attrs.frozen
class _Reply:
    """The answer to a call."""

    answer: Answer
    fault: Action | None
    """What is to go wrong with it."""
    ready_at: float
    """When the work on it was done."""


@attrs.define(eq=False)
class FakeSearchConsole:
    """An ASGI app.

    Args:
        properties: what the user may see: simulated, or from a cassette.
        quota: the limits, and what was counted against them.
        latency: how long answers take.
        faults: what goes wrong.
        access_tokens: the tokens it knows; None lets everyone in, even without a token.
        user_of: whose quota a token spends; by default each token is a user.
        last_final_day: the newest day that is final, or None if all are.
        part_order: how the parts of a batch are ordered: ``sent``, ``reversed`` or ``shuffled``.
        line_break: between the lines of a batch's answer: CRLF or LF.
        permission_levels: by property, where the account is not its owner.
        inspection_quota: the limits of URL Inspection, and what was counted against them.
    """

    properties: Iterable[SimulatedProperty | RecordedProperty]
    quota: Quota = attrs.field(factory=Quota)
    latency: Latency = attrs.field(factory=lambda: Latency(scale=0))
    faults: Iterable[Fault] = ()
    access_tokens: Container[str] | None = None
    user_of: Callable[[str], str] = str
    last_final_day: dt.date | None = None
    part_order: str = "sent"
    line_break: bytes = b"\r\n"
    permission_levels: Mapping[str, str] = attrs.field(factory=dict)
    inspection_quota: InspectionQuota = attrs.field(factory=InspectionQuota)
    calls: list[SeenCall] = attrs.field(factory=list, init=False)
    """Every query that was asked, in the order in which they were decided."""
    http_requests: int = attrs.field(default=0, init=False)
    site_methods: SiteMethods = attrs.field(init=False)
    """What it answers beside queries."""
    _by_site: dict[str, SimulatedProperty | RecordedProperty] = attrs.field(init=False)
    _script: FaultScript = attrs.field(init=False)
    _batches: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._by_site = {each.site_url: each for each in self.properties}
        self.site_methods = SiteMethods(
            tuple(self._by_site), self.permission_levels, self.inspection_quota
        )
        self._script = FaultScript(list(self.faults))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request (ASGI)."""
        if scope["type"] == "lifespan":
            await _answer_lifespan(receive, send)
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        target = scope["raw_path"].split(b"?")[0].decode()
        if scope.get("query_string"):
            target += "?" + scope["query_string"].decode()
        call = _Call(scope["method"], target, await _body_of(receive))
        self.http_requests += 1
        fault = self._script.for_request()
        response = Response(
            send,
            accepts_gzip="gzip" in headers.get("accept-encoding", ""),
            is_damaged=isinstance(fault, BadGzip),
        )
        stall = fault.seconds if isinstance(fault, Stall) else 0.0
        user = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if isinstance(fault, Refuse | HtmlPage):
            await response.send_whole(_faulty(fault))
        elif target.split("?")[0] in _BATCH_PATHS:
            await self._answer_batch(
                call, headers, user, response, cut_off=isinstance(fault, CutOff), stall=stall
            )
        else:
            reply = await self._answer(call, user, stall=stall)
            if CutOff() in {fault, reply.fault}:
                await response.send_half(reply.answer)
            await response.send_whole(reply.answer)

    async def _answer_batch(
        self,
        call: _Call,
        headers: dict[str, str],
        user: str,
        response: Response,
        *,
        cut_off: bool,
        stall: float,
    ) -> None:
        calls = _calls_of(call, headers.get("content-type", ""))
        if calls is None:
            await response.send_whole(answers.error(400, "badRequest", "Failed to parse batch."))
            return
        self._batches += 1
        await response.start(200, {"content-type": f'multipart/mixed; boundary="{_BOUNDARY}"'})
        answered = self._answered(calls, user, self._batches, stall)
        sent = 0
        async with aclosing(answered):
            async for part in answered:
                await response.send(*part)
                sent += 1
                if cut_off and sent >= max(1, len(calls) // 2):
                    raise ConnectionCutError
        await response.send(b"--" + _BOUNDARY.encode() + b"--" + self.line_break, is_last=True)

    async def _answered(
        self, calls: list[_Call], user: str, batch: int, stall: float
    ) -> AsyncGenerator[list[bytes | DeflatedPiece], None]:
        """The parts of a batch's answer, each when it is ready.

        Parts are worked on while those before them are sent: a slow reader delays the sending,
        not the work.
        """
        within_quota = {call.content_id: self._admit(call, user) for call in calls}
        await trio.sleep(stall)
        if self.part_order == "reversed":
            calls.reverse()
        elif self.part_order == "shuffled":
            calls = random.Random(batch).sample(calls, len(calls))
        began = ready_at = trio.current_time()
        for call in calls:
            reply = await self._answer(
                call,
                user,
                batch=batch,
                is_within=within_quota[call.content_id],
                since=began if self.latency.parallel_parts else ready_at,
            )
            ready_at = reply.ready_at
            if isinstance(reply.fault, CutOff):
                raise ConnectionCutError
            if not isinstance(reply.fault, MissingPart):
                stranger = "-stranger" if isinstance(reply.fault, UnknownPart) else ""
                part = self._part(call.content_id + stranger, reply.answer)
                yield part * 2 if isinstance(reply.fault, DoubledPart) else part

    def _part(self, content_id: str, answer: Answer) -> list[bytes | DeflatedPiece]:
        head = [
            b"--" + _BOUNDARY.encode(),
            b"Content-Type: application/http",
            f"Content-ID: <response-{content_id}>".encode(),
            b"",
            f"HTTP/1.1 {answer.status} {'OK' if answer.status == 200 else ''}".encode(),
            f"Content-Type: {answer.content_type}".encode(),
            *(f"{name}: {value}".encode() for name, value in answer.headers.items()),
            f"Content-Length: {answer.length}".encode(),
            b"",
            b"",
        ]
        return [self.line_break.join(head), answer.body, self.line_break]

    def _admit(self, call: _Call, user: str) -> bool:
        """Count a query against the quota when it arrives."""
        site_url = _site_of(call)
        return site_url is None or self.quota.admit(site_url, self.user_of(user))

    async def _answer(
        self,
        call: _Call,
        user: str,
        *,
        batch: int | None = None,
        is_within: bool | None = None,
        since: float | None = None,
        stall: float = 0.0,
    ) -> _Reply:
        """Answer one call after its latency, counted from ``since``, and write it down."""
        since = trio.current_time() if since is None else since
        site_url = _site_of(call)
        if site_url is None:
            return _Reply(self._answer_other(call, user), None, since)
        is_within = self._admit(call, user) if is_within is None else is_within
        request = answers.parse_query(call.content)
        if isinstance(request, Answer):
            return _Reply(request, None, since)
        answer, fault = self._decide(request, site_url, user, is_within=is_within)
        if answer.status == HTTPStatus.OK and "prettyPrint=false" not in call.path:
            answer = answers.pretty_printed(answer)
        if isinstance(fault, BadJson):
            answer = attrs.evolve(answer, body=answer.content[: answer.length // 2])
        if isinstance(fault, Stall):
            stall += fault.seconds
        ready_at = since + self.latency.seconds(answer.rows) + stall
        await trio.sleep_until(ready_at)
        self.calls.append(
            SeenCall(
                time=trio.current_time(),
                user=user,
                site_url=site_url,
                data_date=request.start_date,
                start_row=request.start_row,
                status=answer.status,
                fault=fault,
                batch=batch,
            )
        )
        return _Reply(answer, fault, ready_at)

    def _decide(
        self, request: QueryRequest, site_url: str, user: str, *, is_within: bool
    ) -> tuple[Answer, Action | None]:
        if not self._knows(user):
            return answers.unauthenticated(), None
        if not is_within:
            return answers.too_fast(), None
        if site_url not in self._by_site:
            return answers.no_permission(site_url), None
        fault = self._script.for_call(site_url, request.start_date, request.start_row)
        if isinstance(fault, Refuse | HtmlPage):
            return _faulty(fault), fault
        held = self._by_site[site_url]
        if isinstance(held, RecordedProperty):
            return held.answer(request), fault
        new_rows = fault.rows if isinstance(fault, ShiftedRows) else 0
        return answers.answer_query(held, request, self.last_final_day, new_rows), fault

    def _answer_other(self, call: _Call, user: str) -> Answer:
        if not self._knows(user):
            return answers.unauthenticated()
        return self.site_methods.answer(call.method, call.path, call.content)

    def _knows(self, user: str) -> bool:
        return self.access_tokens is None or user in self.access_tokens


def _faulty(fault: Refuse | HtmlPage) -> Answer:
    if isinstance(fault, HtmlPage):
        page = b"<!DOCTYPE html><html><body><h1>Something went wrong</h1></body></html>"
        return Answer(fault.status, page, content_type="text/html")
    return answers.error(fault.status, fault.reason, fault.message, retry_after=fault.retry_after)


def _site_of(call: _Call) -> str | None:
    """The property of a searchanalytics.query call, or None if it is another call."""
    parts = call.path.split("?")[0].split("/")
    is_query = parts[:4] == ["", "webmasters", "v3", "sites"] and parts[5:] == [
        "searchAnalytics",
        "query",
    ]
    return unquote(parts[4]) if is_query and call.method == "POST" else None


def _calls_of(call: _Call, content_type: str) -> list[_Call] | None:
    """The calls in a batch request, read by the standard library's e-mail parser."""
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + call.content
    )
    if call.method != "POST" or not message.is_multipart():
        return None
    return [_inner_call(part) for part in message.get_payload() if isinstance(part, Message)]


def _inner_call(part: Message) -> _Call:
    payload = part.get_payload(decode=True)
    head, _, content = (
        (payload if isinstance(payload, bytes) else b"").replace(b"\r\n", b"\n").partition(b"\n\n")
    )
    method, _, rest = head.decode().partition(" ")
    content_id = part.get("Content-ID", "").strip().removeprefix("<").removesuffix(">")
    return _Call(method, rest.split(" ")[0], content, content_id)


async def _body_of(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _answer_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
