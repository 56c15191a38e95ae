"""OpenTelemetry traces: HTTP client spans by the conventions, and no secret in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio.testing
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.trace import SpanKind, StatusCode

from gsc_trio.errors import TransportError
from gsc_trio.telemetry.events import RequestFinished, TransactionCommitted
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.telemetry.traces import OpenTelemetryTraces
from gsc_trio.testing import CutOff, Fault, Refuse
from tests.telemetry.runs import SITE, TOKEN, Recorder, fake_with_faults, run_with

PATH = "/webmasters/v3/sites/https%3A%2F%2Fwww.example.com%2F/searchAnalytics/query"


class Exported:
    """A tracer provider, and the spans that ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def of_kind(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.kind is kind]


def one_request(traces: Instrument, exported: Exported, **facts: Any) -> ReadableSpan:
    facts = {
        "method": "POST",
        "url": f"https://example.org{PATH}?prettyPrint=false",
        "queries": 1,
        "status": 200,
        "duration_seconds": 1.5,
        "error": None,
        **facts,
    }
    traces.handle(RequestFinished(**facts))
    return exported.spans()[-1]


async def test_a_run_is_one_trace_of_its_requests_and_commits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exported, told = Exported(), Recorder()
    fake = fake_with_faults(
        Fault(Refuse(503), whole_request=True),
        Fault(CutOff(), skip=1, whole_request=True),
        Fault(Refuse(403, "quotaExceeded", "Search Analytics QPS quota exceeded."), skip=9),
    )
    traces = OpenTelemetryTraces(tracer_provider=exported.provider)
    summary = await run_with([traces, told], fake, days=30, batch_size=4)

    (run,) = [span for span in exported.spans() if span.name == "gsc_trio.run"]
    assert run.context is not None
    assert run.attributes is not None
    for span in exported.spans():
        assert span.context is not None
        assert span.context.trace_id == run.context.trace_id
        assert span is run or (span.parent and span.parent.span_id == run.context.span_id)
    assert run.attributes["gsc_trio.status"] == "complete"
    assert {event.name for event in run.events} == {
        "gsc_trio.jobs_retried",
        "gsc_trio.quota_exceeded",
        "gsc_trio.quota_paused",
    }
    commits = [span for span in exported.spans() if span.name == "gsc_trio.commit"]
    stored = [span.attributes["gsc_trio.pages"] for span in commits if span.attributes]
    assert stored == [event.pages for event in told.of(TransactionCommitted)]
    requests = exported.of_kind(SpanKind.CLIENT)
    assert len(requests) == len(told.of(RequestFinished))
    queries = [span.attributes["gsc_trio.queries"] for span in requests if span.attributes]
    assert sum(int(str(each)) for each in queries) == summary.requests
    failed = [span.attributes for span in requests if span.status.status_code is StatusCode.ERROR]
    assert sorted(str(each["error.type"]) for each in failed if each) == ["503", "TransportError"]
    written = "".join(span.to_json() for span in exported.spans())
    for private in (TOKEN, SITE, "www.example.com", "access-token"):
        assert private not in written


def test_a_request_has_what_the_conventions_ask_for() -> None:
    exported = Exported()
    traces = OpenTelemetryTraces(tracer_provider=exported.provider)
    span = one_request(traces, exported)
    template = "/webmasters/v3/sites/{siteUrl}/searchAnalytics/query"
    assert span.name == f"POST {template}"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 1_500_000_000
    assert span.attributes == {
        http_attributes.HTTP_REQUEST_METHOD: "POST",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        url_attributes.URL_FULL: "https://example.org/webmasters/v3/sites/REDACTED"
        "/searchAnalytics/query?prettyPrint=false",
        "url.template": template,
        server_attributes.SERVER_ADDRESS: "example.org",
        server_attributes.SERVER_PORT: 443,
        "gsc_trio.queries": 1,
    }


@pytest.mark.parametrize(
    ("status", "error", "error_type"),
    [
        (503, TransportError("x"), "503"),
        (404, None, "404"),
        (None, TransportError("x"), "TransportError"),
        (200, TransportError("x"), "TransportError"),
    ],
)
def test_what_went_wrong_is_told_by_status_or_class(
    status: int | None, error: Exception | None, error_type: str
) -> None:
    exported = Exported()
    traces = OpenTelemetryTraces(tracer_provider=exported.provider)
    span = one_request(traces, exported, status=status, error=error)
    assert span.attributes is not None
    assert span.attributes[error_attributes.ERROR_TYPE] == error_type
    assert span.attributes.get(http_attributes.HTTP_RESPONSE_STATUS_CODE) == status
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8765/batch", "http://127.0.0.1:8765/batch"),
        ("https://me:secret@example.org/batch", "https://example.org/batch"),
        (
            "https://example.org/x?access_token=ya29&prettyPrint=false&key=1#part",
            "https://example.org/x?access_token=REDACTED&prettyPrint=false&key=REDACTED",
        ),
        (
            "https://example.org/webmasters/v3/sites/sc-domain%3Aa.de/sitemaps/https%3A%2F%2Fa.de",
            "https://example.org/webmasters/v3/sites/REDACTED/sitemaps/REDACTED",
        ),
        (
            "https://example.org/webmasters/v3/sites?prettyPrint=false",
            "https://example.org/webmasters/v3/sites?prettyPrint=false",
        ),
    ],
)
def test_addresses_are_shown_without_secrets_and_names(url: str, shown: str) -> None:
    exported = Exported()
    traces = OpenTelemetryTraces(tracer_provider=exported.provider)
    span = one_request(traces, exported, url=url)
    assert span.attributes is not None
    assert span.attributes[url_attributes.URL_FULL] == shown


async def test_property_and_user_are_named_when_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exported = Exported()
    traces = OpenTelemetryTraces(site=SITE, user="me", tracer_provider=exported.provider)
    await run_with([traces], fake_with_faults(), batch_size=1)
    (run,) = [span for span in exported.spans() if span.name == "gsc_trio.run"]
    assert run.attributes is not None
    assert run.attributes["gsc_trio.site"] == SITE
    assert run.attributes["gsc_trio.user"] == "me"
    for span in exported.of_kind(SpanKind.CLIENT):
        assert span.attributes is not None
        assert PATH in str(span.attributes[url_attributes.URL_FULL])
        assert "{siteUrl}" in span.name
    assert TOKEN not in "".join(span.to_json() for span in exported.spans())
