"""Google's error answers, told apart by reason.

Responsible for: turning an answer that is not a 200, or one part of a batch, into the right kind
of `gsc_trio.errors.ApiError`, with Google's own words.
Must never: show a page of HTML, or take a 4xx it does not know for one that may be retried.
"""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from gsc_trio.errors import (
    ApiError,
    BackendError,
    DailyLimitExceededError,
    FinalError,
    LoadQuotaExceededError,
    MalformedResponseError,
    PermissionDeniedError,
    RateLimitExceededError,
    UnauthenticatedError,
)

_MAX_MESSAGE_LENGTH = 500

_TOO_FAST = {
    "quotaExceeded",
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
}
_DAILY_LIMIT = {"dailyLimitExceeded", "dailyLimitExceededUnreg"}
_NOT_ENABLED = {"accessNotConfigured", "SERVICE_DISABLED"}


class _Detail(msgspec.Struct):
    reason: str = ""
    message: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    status: str = ""
    errors: list[_Detail] = []
    details: list[_Detail] = []


class _Envelope(msgspec.Struct):
    error: _Error | str
    error_description: str = ""


_decoder = msgspec.json.Decoder(_Envelope)


def classify(
    status: int,
    content: bytes,
    retry_after: str | None = None,
    *,
    now: dt.datetime | None = None,
) -> ApiError:
    """The error in an answer.

    Args:
        status: its HTTP status, not 200.
        content: its body; Google's JSON envelope, or whatever else came.
        retry_after: its Retry-After header, if it has one: seconds or an HTTP date.
        now: the current time, against which an HTTP date is held; by default the clock's.
    """
    message, reason = _read(status, content)
    kind = _kind(status, reason, message)
    if reason in _NOT_ENABLED:
        message += " Enable the Search Console API in the project that the access token is from."
    return kind(
        message,
        status=status,
        reason=reason,
        retry_after_seconds=_retry_after_seconds(retry_after, now or dt.datetime.now(dt.UTC)),
    )


def _kind(status: int, reason: str, message: str) -> type[ApiError]:
    if status == HTTPStatus.UNAUTHORIZED:
        return UnauthenticatedError
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return BackendError
    if status < HTTPStatus.BAD_REQUEST:
        return MalformedResponseError
    if reason in _DAILY_LIMIT:
        return DailyLimitExceededError
    if reason in _TOO_FAST or status == HTTPStatus.TOO_MANY_REQUESTS:
        is_load = "load quota" in message.lower()
        return LoadQuotaExceededError if is_load else RateLimitExceededError
    is_denied = status == HTTPStatus.FORBIDDEN and reason not in _NOT_ENABLED
    return PermissionDeniedError if is_denied else FinalError


def _read(status: int, content: bytes) -> tuple[str, str]:
    """Google's words and reason."""
    try:
        envelope = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _without_explanation(status), ""
    if isinstance(envelope.error, str):  # as OAuth's endpoints write it
        return _shortened(envelope.error_description or envelope.error), envelope.error
    error = envelope.error
    reasons = (detail.reason for detail in (*error.errors, *error.details))
    reason = next(filter(None, reasons), error.status)
    messages = (error.message, *(detail.message for detail in error.errors))
    return _shortened(next(filter(None, messages), _without_explanation(status))), reason


def _without_explanation(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "an unknown status"
    return f"{phrase}, without an explanation."


def _shortened(message: str) -> str:
    message = " ".join(message.split())
    if len(message) > _MAX_MESSAGE_LENGTH:
        return message[: _MAX_MESSAGE_LENGTH - 1] + "…"
    return message


def _retry_after_seconds(value: str | None, now: dt.datetime) -> float | None:
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - now).total_seconds())
