"""The batch format held against other implementations: email, http.client, googleapiclient."""

from __future__ import annotations

import email.parser
import email.policy
import http.client
import io
import re
from typing import Any
from unittest.mock import Mock

import httplib2
import pytest
from googleapiclient.errors import BatchError
from googleapiclient.http import BatchHttpRequest, HttpRequest
from hypothesis import example, given
from hypothesis import strategies as st

from gsc_trio.errors import MalformedResponseError
from gsc_trio.wire.multipart import (
    BatchCall,
    BatchPart,
    MultipartDecoder,
    batch_content_type,
    choose_boundary,
    encode_batch,
)
from gsc_trio.wire.query import query_path

PATH = query_path("sc-domain:bücher.example")

# No bare CR, which `email` takes for the end of a line.
json_like = st.lists(
    st.sampled_from(["\r\n", "\n", "--", "--answ", "er", "{", "}", " ", ":", "é", "日本", "\x00"])
).map(lambda words: "".join(words).replace("--answer", "").encode())
contents = st.binary().map(lambda data: data.replace(b"\r", b"")) | json_like
statuses = st.integers(200, 599).filter(lambda status: status not in {204, 304})
header_values = st.from_regex(r"[!-~]+( [!-~]+)*", fullmatch=True)


class AnsweringSocket:
    """What `http.client` reads an answer from."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def makefile(self, mode: str) -> io.BytesIO:
        assert mode == "rb"
        return io.BytesIO(self.answer)


class FakeHttp:
    """An `httplib2.Http` that keeps the request and gives an answer."""

    def __init__(self, content_type: str, answer: bytes = b"") -> None:
        self.content_type = content_type
        self.answer = answer
        self.sent: list[tuple[bytes, str]] = []

    def request(
        self, uri: str, method: str, body: str, headers: dict[str, str]
    ) -> tuple[httplib2.Response, bytes]:
        self.sent.append((body.encode(), headers["content-type"]))
        answer = httplib2.Response({"status": "200", "content-type": self.content_type})
        return answer, self.answer


def parts_by_email(content_type: str, body: bytes) -> list[tuple[str | None, bytes]]:
    """Content-ID and inner message of each part, as the standard library reads them."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.compat32).parsebytes(head + body)
    assert not message.defects
    parts: list[tuple[str | None, bytes]] = []
    for part in message.walk():
        if part is not message:
            payload = part.get_payload(decode=True)
            assert isinstance(payload, bytes)
            parts.append((part["Content-ID"], payload))
    return parts


def answer_by_http_client(message: bytes) -> BatchPart:
    answer = http.client.HTTPResponse(AnsweringSocket(message))  # type: ignore[arg-type]
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return BatchPart(None, answer.status, answer.reason, headers, answer.read())


def request_parts(content_type: str, body: bytes) -> list[tuple[str, dict[str, str], bytes]]:
    """Request line, headers and content of each call in a batch request."""
    calls = []
    for _, message in parts_by_email(content_type, body):
        stream = io.BytesIO(message)
        request_line = stream.readline().decode().strip()
        headers = http.client.parse_headers(stream)
        calls.append((request_line, {k.lower(): v for k, v in headers.items()}, stream.read()))
    return calls


def decode(content_type: str, body: bytes) -> list[BatchPart]:
    decoder = MultipartDecoder(content_type)
    parts = decoder.feed(body)
    decoder.close()
    return parts


@given(st.lists(st.tuples(statuses, header_values, contents), min_size=1, max_size=4))
def test_answers_are_read_as_email_and_http_client_read_them(
    answers: list[tuple[int, str, bytes]],
) -> None:
    body = b"".join(
        b"--answer\r\nContent-Type: application/http\r\nContent-ID: <response-%d>\r\n\r\n"
        b"HTTP/1.1 %d So it is\r\nX-Value: %b\r\nContent-Length: %d\r\n\r\n%b\r\n"
        % (number, status, value.encode(), len(content), content)
        for number, (status, value, content) in enumerate(answers)
    )
    body += b"--answer--\r\n"
    theirs = parts_by_email("multipart/mixed; boundary=answer", body)
    ours = decode("multipart/mixed; boundary=answer", body)
    assert [f"<response-{part.content_id}>" for part in ours] == [name for name, _ in theirs]
    for part, (_, message) in zip(ours, theirs, strict=True):
        expected = answer_by_http_client(message)
        assert (part.status, part.reason) == (expected.status, expected.reason)
        assert (part.headers, part.content) == (expected.headers, expected.content)


calls = st.lists(contents, min_size=1, max_size=5).map(
    lambda bodies: [
        BatchCall(content_id=str(number), method="POST", path=PATH, content=body)
        for number, body in enumerate(bodies)
    ]
)


@given(calls)
def test_email_reads_the_requests_that_are_sent(calls: list[BatchCall]) -> None:
    boundary = choose_boundary(calls)
    body = encode_batch(calls, boundary)
    names = [name for name, _ in parts_by_email(batch_content_type(boundary), body)]
    assert names == [f"<{call.content_id}>" for call in calls]
    for call, (line, headers, content) in zip(
        calls, request_parts(batch_content_type(boundary), body), strict=True
    ):
        assert line == f"POST {PATH} HTTP/1.1"
        assert headers["content-type"] == "application/json"
        assert headers["content-length"] == str(len(call.content))
        assert content == call.content


def test_a_batch_is_sent_as_it_is_written_down_here() -> None:
    call = BatchCall(content_id="0", method="POST", path="/a?b", content='{"é": 1}'.encode())
    assert encode_batch([call], "x") == (
        b"--x\r\n"
        b"Content-Type: application/http\r\n"
        b"Content-ID: <0>\r\n"
        b"\r\n"
        b"POST /a?b HTTP/1.1\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 9\r\n"
        b"\r\n"
        b'{"\xc3\xa9": 1}\r\n'
        b"--x--\r\n"
    )


def batch_of_googleapiclient(http: FakeHttp, bodies: list[str]) -> dict[str, Any]:
    """What googleapiclient makes of a batch: id → answer or error."""
    answers: dict[str, Any] = {}

    def keep(request_id: str, answer: object, error: Exception | None) -> None:
        answers[request_id] = error or answer

    batch = BatchHttpRequest(callback=keep, batch_uri="https://fake.example/batch")
    batch._base_id = "base"
    for number, body in enumerate(bodies):
        request = HttpRequest(
            None,
            lambda response, content: (response.status, response.reason, content),
            f"https://fake.example{PATH}",
            method="POST",
            body=body,
            headers={"content-type": "application/json"},
        )
        batch.add(request, request_id=str(number))
    batch.execute(http=http)
    return answers


def test_calls_are_sent_as_googleapiclient_sends_them() -> None:
    bodies = ['{"startRow": 0}', '{"startRow": 25000}']
    http = FakeHttp("text/html")
    with pytest.raises(BatchError):  # at the answer, which is none
        batch_of_googleapiclient(http, bodies)
    ((their_body, their_content_type),) = http.sent
    calls = [
        BatchCall(content_id=str(number), method="POST", path=PATH, content=body.encode())
        for number, body in enumerate(bodies)
    ]
    boundary = choose_boundary(calls)
    ours = request_parts(batch_content_type(boundary), encode_batch(calls, boundary))
    theirs = request_parts(their_content_type, their_body)
    for (line, headers, content), (their_line, their_headers, their_content) in zip(
        ours, theirs, strict=True
    ):
        assert (line, content) == (their_line, their_content)
        for name in ("content-type", "content-length"):
            assert headers[name] == their_headers[name]


@given(st.lists(st.tuples(st.integers(200, 299), json_like), min_size=1, max_size=4))
@example([(200, b'{"rows": []}'), (204, b"")])
def test_answers_are_read_as_googleapiclient_reads_them(answers: list[tuple[int, bytes]]) -> None:
    # It splits at the first CRLF CRLF and turns lone line feeds about, so neither is in here.
    answers = [(status, re.sub(rb"[\r\n]", b" ", content)) for status, content in answers]
    body = b"".join(
        b"--answer\r\nContent-Type: application/http\r\nContent-ID: <response-base + %d>\r\n\r\n"
        b"HTTP/1.1 %d Fine\r\nContent-Type: application/json\r\n\r\n%b\r\n"
        % (number, status, content)
        for number, (status, content) in enumerate(answers)
    )
    body += b"--answer--\r\n"
    content_type = 'multipart/mixed; boundary="answer"'
    theirs = batch_of_googleapiclient(FakeHttp(content_type, body), ["{}"] * len(answers))
    ours = decode(content_type, body)
    assert {
        (part.content_id or "").removeprefix("base + "): (part.status, part.reason, part.content)
        for part in ours
    } == {
        name: (status, reason.strip(), content)
        for name, (status, reason, content) in theirs.items()
    }


# The boundary of a request


def test_the_same_calls_give_the_same_boundary() -> None:
    call = BatchCall(content_id="0", method="POST", path="/", content=b"{}")
    other = BatchCall(content_id="0", method="POST", path="/", content=b"{ }")
    assert choose_boundary([call]) == choose_boundary([call])
    assert choose_boundary([call]) != choose_boundary([other])


def test_a_boundary_that_occurs_in_a_call_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["taken" * 8, "free" * 8])
    monkeypatch.setattr(
        "gsc_trio.wire.multipart.hashlib.sha256",
        lambda _: Mock(hexdigest=Mock(return_value=next(digests))),
    )
    taken = b"batch_takentakentakentakentakentakenta"
    call = BatchCall(content_id="0", method="POST", path="/", content=b'"%b"' % taken)
    assert choose_boundary([call]).startswith("batch_free")


@given(calls)
def test_what_is_sent_comes_back_as_it_was_when_it_is_answered_in_kind(
    calls: list[BatchCall],
) -> None:
    boundary = choose_boundary(calls)
    sent = encode_batch(calls, boundary)
    answer = re.sub(rb"\nPOST [^\r]+ HTTP/1.1\r", b"\nHTTP/1.1 200 OK\r", sent)
    parts = decode(batch_content_type(boundary), answer)
    assert [(part.content_id, part.content) for part in parts] == [
        (call.content_id, call.content) for call in calls
    ]
    with pytest.raises(MalformedResponseError, match="cut off"):
        decode(batch_content_type(boundary), answer[: -len("--\r\n")])
