"""Google's error answers, told apart by reason.

Responsible for: turning an answer that is not a 200, or one part of a batch, into the right kind
of `gsc_trio.errors.ApiError`, with Google's own words.
Must never: raise, whatever the body is; show a page of HTML, a control character or an access
token that the answer echoes; or take a 4xx it does not know for one that may be retried.

Nothing in an envelope is relied on: a field that is missing or of another type costs that field
only, since a quota error that lost its reason would halt a run that had but to wait.
"""

from __future__ import annotations

import datetime as dt
import re
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
_MAX_REASON_LENGTH = 100

MAX_RETRY_AFTER_SECONDS = 86_400.0
"""A day: no quota lasts longer, so a longer Retry-After is a mistake and is cut to this."""

_TOO_FAST = {
    "quotaExceeded",
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
}
_DAILY_LIMIT = {"dailyLimitExceeded", "dailyLimitExceededUnreg"}
_NOT_ENABLED = {"accessNotConfigured", "SERVICE_DISABLED"}


# Any other reason says less than one of these beside it.
_TELLING = _TOO_FAST | _DAILY_LIMIT | _NOT_ENABLED

_SECONDS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_SECRET = re.compile(r"\b(Bearer\s+|ya29\.)[\w.~+/=-]{8,}", re.IGNORECASE)


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
    if 500 <= status <= 599 or status == HTTPStatus.REQUEST_TIMEOUT:
        return BackendError
    if not 400 <= status <= 499:
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
        envelope = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _without_explanation(status), ""
    error = _field(envelope, "error")
    if isinstance(error, str):  # as OAuth's endpoints write it
        description = _text(envelope, "error_description", _MAX_MESSAGE_LENGTH)
        reason = _text(envelope, "error", _MAX_REASON_LENGTH)
        return description or reason or _without_explanation(status), reason
    details = [*_list(error, "errors"), *_list(error, "details")]
    messages = [_text(each, "message", _MAX_MESSAGE_LENGTH) for each in (error, *details)]
    reasons = [
        *(_text(detail, "reason", _MAX_REASON_LENGTH) for detail in details),
        _text(error, "status", _MAX_REASON_LENGTH),
    ]
    reason = next((each for each in reasons if each in _TELLING), "")
    return (
        next(filter(None, messages), _without_explanation(status)),
        reason or next(filter(None, reasons), ""),
    )


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: object, name: str) -> list[object]:
    items = _field(value, name)
    return items if isinstance(items, list) else []


def _text(value: object, name: str, max_length: int) -> str:
    """A field as one printable line without access tokens, empty if it is no text."""
    text = _field(value, name)
    if not isinstance(text, str):
        return ""
    text = "".join(character if character.isprintable() else " " for character in text)
    text = _SECRET.sub(r"\1[hidden]", " ".join(text.split()))
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def _without_explanation(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "an unknown status"
    return f"{phrase}, without an explanation."


def _retry_after_seconds(value: str | None, now: dt.datetime) -> float | None:
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=dt.UTC)
            seconds = (moment - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None  # parsedate_to_datetime lets some of its own slips through
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
