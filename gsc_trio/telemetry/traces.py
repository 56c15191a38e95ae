"""Traces by OpenTelemetry: a span for the run, in it one for each HTTP request and each commit.

HTTP requests follow the semantic conventions for HTTP client spans; they are written down when
they are over, with the time at which they began. Without an SDK nothing is recorded. With one::

    trace.set_tracer_provider(provider)
    instruments = [OpenTelemetryTraces()]

What else happens in a run (pauses, retries, crashes, halts) is an event of its span. Error
messages stay out of traces, since they may name the property.

Source: OpenTelemetry semantic conventions, HTTP spans, version 1.44.
"""

from __future__ import annotations

import re
import time
from importlib.metadata import version
from urllib.parse import SplitResult, urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from gsc_trio.telemetry.events import (
    ConcurrencyChanged,
    Event,
    HaltRequested,
    JobsRetried,
    QuotaExceeded,
    QuotaPaused,
    RequestFinished,
    RunFinished,
    RunStarted,
    TransactionCommitted,
    WorkerCrashed,
)
from gsc_trio.telemetry.facts import reason_of, snake_case

Attributes = dict[str, AttributeValue]

_DEFAULT_PORTS = {"http": 80, "https": 443}

_PARAMETERS = {"sites": "{siteUrl}", "sitemaps": "{feedpath}"}
"""Path segments that are followed by a name, with what Google's reference calls it."""

_HARMLESS = {"prettyPrint"}
"""Query parameters whose values may be shown."""


class OpenTelemetryTraces:
    """An instrument that records spans, for one run at a time.

    Args:
        site: named in the run's span, and left in addresses, if given.
        user: named in the run's span, if given.
        tracer_provider: where spans go; by default OpenTelemetry's global one.
    """

    def __init__(
        self,
        *,
        site: str | None = None,
        user: str | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("gsc_trio", version("gsc-trio"), tracer_provider)
        identities = {"gsc_trio.site": site, "gsc_trio.user": user}
        self._identities = {name: value for name, value in identities.items() if value is not None}
        self._shows_site = site is not None
        self._run: Span | None = None
        self._context: Context | None = None

    def handle(self, event: Event) -> None:
        """Begin, end or add to a span."""
        match event:
            case RequestFinished():
                self._record_request(event)
            case TransactionCommitted(pages, rows, duration_seconds):
                attributes: Attributes = {"gsc_trio.pages": pages, "gsc_trio.rows": rows}
                self._record("gsc_trio.commit", SpanKind.INTERNAL, duration_seconds, attributes)
            case RunStarted(_, start, end, days_planned):
                self._run = self._tracer.start_span(
                    "gsc_trio.run",
                    attributes={
                        **self._identities,
                        "gsc_trio.start": start.isoformat(),
                        "gsc_trio.end": end.isoformat(),
                        "gsc_trio.days_planned": days_planned,
                    },
                )
                self._context = trace.set_span_in_context(self._run)
            case RunFinished(status):
                self._end_run(status)
            case _:
                self._note(event)

    def _record_request(self, request: RequestFinished) -> None:
        parts = urlsplit(request.url)
        template = _template_of(parts)
        attributes: Attributes = {
            "http.request.method": request.method,
            "url.full": request.url if self._shows_site else _without_names(parts),
            "url.template": template,
            "server.address": parts.hostname or "",
            "server.port": parts.port or _DEFAULT_PORTS.get(parts.scheme, 0),
            "gsc_trio.queries": request.queries,
        }
        if request.status is not None:
            attributes["http.response.status_code"] = request.status
        error_type = _error_type(request)
        if error_type is not None:
            attributes["error.type"] = error_type
        self._record(
            f"{request.method} {template}",
            SpanKind.CLIENT,
            request.duration_seconds,
            attributes,
            is_error=error_type is not None,
        )

    def _record(
        self,
        name: str,
        kind: SpanKind,
        duration_seconds: float,
        attributes: Attributes,
        *,
        is_error: bool = False,
    ) -> None:
        """A span that is over already."""
        end = time.time_ns()
        span = self._tracer.start_span(
            name,
            context=self._context,
            kind=kind,
            attributes=attributes,
            start_time=end - round(duration_seconds * 1e9),
        )
        if is_error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def _note(self, event: Event) -> None:
        """An event of the run's span."""
        if self._run is None or not self._run.is_recording():
            return
        facts: Attributes
        match event:
            case QuotaPaused(_, seconds, error):
                facts = {"reason": reason_of(error), "seconds": seconds}
            case QuotaExceeded(_, queries, error):
                facts = {"reason": reason_of(error), "queries": queries}
            case JobsRetried(jobs, error, delay_seconds):
                facts = {"reason": reason_of(error), "jobs": len(jobs), "seconds": delay_seconds}
            case WorkerCrashed(worker, error):
                facts = {"worker": worker, "reason": reason_of(error)}
            case ConcurrencyChanged(previous, current):
                facts = {"previous": previous, "current": current}
            case HaltRequested(halt):
                facts = {"status": halt.status}
            case _:
                return
        name = f"gsc_trio.{snake_case(type(event).__name__)}"
        self._run.add_event(name, {f"gsc_trio.{key}": value for key, value in facts.items()})

    def _end_run(self, status: str) -> None:
        if self._run is None:
            return
        self._run.set_attribute("gsc_trio.status", status)
        if status == "failed":
            self._run.set_status(Status(StatusCode.ERROR))
        self._run.end()
        self._run = self._context = None


def _error_type(request: RequestFinished) -> str | None:
    """The status of a refusal, the error's class of anything else that went wrong."""
    if request.status is not None and request.status >= 400:
        return str(request.status)
    return None if request.error is None else type(request.error).__qualname__


def _template_of(parts: SplitResult) -> str:
    return _with_names(parts.path, _PARAMETERS)


def _without_names(parts: SplitResult) -> str:
    """The address with neither user, property nor query values."""
    path = _with_names(parts.path, dict.fromkeys(_PARAMETERS, "REDACTED"))
    query = re.sub(
        r"([^&=]+)=[^&]*",
        lambda found: found[0] if found[1] in _HARMLESS else f"{found[1]}=REDACTED",
        parts.query,
    )
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, path=path, query=query, fragment="").geturl()


def _with_names(path: str, names: dict[str, str]) -> str:
    segments = path.split("/")
    for number, before in enumerate(segments[:-1]):
        if before in names and segments[number + 1]:
            segments[number + 1] = names[before]
    return "/".join(segments)
