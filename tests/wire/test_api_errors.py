"""Google's error answers are told apart by reason, whatever shape they come in."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gsc_trio.errors import (
    ApiError,
    BackendError,
    DailyLimitExceededError,
    FinalError,
    LoadQuotaExceededError,
    MalformedResponseError,
    PermissionDeniedError,
    RateLimitExceededError,
    TransientError,
    UnauthenticatedError,
)
from gsc_trio.wire.api_errors import classify

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
QPS = "Search Analytics QPS quota exceeded."
LOAD = "Search Analytics load quota exceeded. Learn about usage limits."


def envelope(status: int, reason: str, message: str) -> bytes:
    """An error as Search Console writes it."""
    detail = {"message": message, "domain": "global", "reason": reason}
    return json.dumps({"error": {"code": status, "message": message, "errors": [detail]}}).encode()


def newer_envelope(status: str, reason: str, message: str) -> bytes:
    """An error as Google's newer front end writes it."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": {}}
    details = [{"@type": "type.googleapis.com/google.rpc.Help", "links": []}, info]
    return json.dumps(
        {"error": {"message": message, "status": status, "details": details}}
    ).encode()


def retry_after_seconds(value: str | None) -> float | None:
    return classify(503, b"", value, now=NOW).retry_after_seconds


# What kind


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        (403, "quotaExceeded", QPS, RateLimitExceededError),
        (403, "quotaExceeded", LOAD, LoadQuotaExceededError),
        (403, "quotaExceeded", LOAD.upper(), LoadQuotaExceededError),
        (403, "quotaExceeded", "Quota exceeded for something new.", RateLimitExceededError),
        (403, "quotaExceeded", "Quota exceeded: could not load.", RateLimitExceededError),
        (403, "userRateLimitExceeded", "User Rate Limit Exceeded", RateLimitExceededError),
        (403, "rateLimitExceeded", "Rate Limit Exceeded", RateLimitExceededError),
        (429, "rateLimitExceeded", "Too many", RateLimitExceededError),
        (429, "somethingNew", "Too many", RateLimitExceededError),
        (403, "forbidden", "User does not have sufficient permission", PermissionDeniedError),
        (403, "insufficientPermissions", "Insufficient Permission", PermissionDeniedError),
        (403, "accessNotConfigured", "It has not been used before.", FinalError),
        (403, "dailyLimitExceeded", "Daily Limit Exceeded", DailyLimitExceededError),
        (401, "authError", "Invalid Credentials", UnauthenticatedError),
        (400, "badRequest", "Invalid value", FinalError),
        (400, "invalidParameter", "The load quota is fine", FinalError),
        (404, "notFound", "Not found", FinalError),
        (410, "gone", "Gone", FinalError),
        (408, "", "Request Timeout", BackendError),
        (500, "backendError", "Backend Error", BackendError),
        (502, "badGateway", "Bad Gateway", BackendError),
        (503, "quotaExceeded", LOAD, BackendError),
        (504, "", "Deadline expired", BackendError),
        (302, "", "Found", MalformedResponseError),
        (204, "", "No Content", MalformedResponseError),
        (101, "", "Switching Protocols", MalformedResponseError),
        (600, "", "What?", MalformedResponseError),
        (999, "", "What?", MalformedResponseError),
    ],
)
def test_each_reason_is_its_own_kind_with_googles_words(
    status: int, reason: str, message: str, kind: type[ApiError]
) -> None:
    error = classify(status, envelope(status, reason, message))
    assert type(error) is kind
    assert (error.status, error.reason) == (status, reason)
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (
            429,
            newer_envelope("RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "Quota exceeded"),
            RateLimitExceededError,
            "RATE_LIMIT_EXCEEDED",
        ),
        (
            403,
            newer_envelope("PERMISSION_DENIED", "SERVICE_DISABLED", "Not used before."),
            FinalError,
            "SERVICE_DISABLED",
        ),
        (
            403,
            newer_envelope("PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "Scopes"),
            PermissionDeniedError,
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        ),
        (
            403,
            b'{"error": {"message": "No", "status": "PERMISSION_DENIED"}}',
            PermissionDeniedError,
            "PERMISSION_DENIED",
        ),
        (
            403,
            b'{"error": {"message": "Slow", "status": "RESOURCE_EXHAUSTED"}}',
            RateLimitExceededError,
            "RESOURCE_EXHAUSTED",
        ),
        (
            403,
            b'{"error": {"message": "Not used", "errors": [{"reason": "forbidden"}],'
            b' "details": [{"reason": "SERVICE_DISABLED"}]}}',
            FinalError,
            "SERVICE_DISABLED",
        ),
    ],
)
def test_newer_envelopes_are_read_and_the_narrower_reason_wins(
    status: int, body: bytes, kind: type[ApiError], reason: str
) -> None:
    error = classify(status, body)
    assert (type(error), error.reason) == (kind, reason)


@pytest.mark.parametrize(
    "damage",
    [
        {"message": None},
        {"message": 5},
        {"code": "403"},
        {"status": None},
        {"status": 403},
        {"details": None},
        {"details": {"reason": "forbidden"}},
        {"details": ["forbidden", None, 3, {"reason": {"is": "odd"}}, {"reason": None}]},
        {"errors": [None, "x", {"reason": 5}, {"reason": "quotaExceeded", "message": LOAD}]},
    ],
)
def test_a_field_of_another_type_does_not_cost_the_reason_of_a_quota_error(
    damage: dict[str, object],
) -> None:
    error = {"message": LOAD, "errors": [{"reason": "quotaExceeded", "message": LOAD}]}
    answer = classify(403, json.dumps({"error": error | damage}).encode())
    assert isinstance(answer, LoadQuotaExceededError)
    assert (answer.message, answer.reason) == (LOAD, "quotaExceeded")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            b'{"error": "invalid_grant", "error_description": "Token has been expired."}',
            "Token has",
        ),
        (b'{"error": "invalid_grant"}', "invalid_grant"),
        (b'{"error": "invalid_grant", "error_description": null}', "invalid_grant"),
    ],
)
def test_oauth_errors_are_read(body: bytes, message: str) -> None:
    error = classify(401, body)
    assert isinstance(error, UnauthenticatedError)
    assert error.reason == "invalid_grant"
    assert error.message.startswith(message)


def test_an_api_that_is_not_enabled_says_what_to_do() -> None:
    for reason in ("accessNotConfigured", "SERVICE_DISABLED"):
        error = classify(403, envelope(403, reason, "It is disabled."))
        assert error.message.startswith("It is disabled. Enable the Search Console API")


@given(st.integers(400, 499), st.text())
def test_a_refusal_that_is_not_known_is_never_retried(status: int, reason: str) -> None:
    error = classify(status, envelope(status, f"unknown {reason}", "No"))
    assert isinstance(error, TransientError) == (status in {408, 429})


# What it says


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (
            502,
            b"<html><h1>502. That's an error.</h1></html>",
            "Bad Gateway, without an explanation",
        ),
        (503, b"", "Service Unavailable, without an explanation"),
        (500, b"{}", "Internal Server Error, without an explanation"),
        (500, b"[]", "Internal Server Error, without an explanation"),
        (500, b'{"error": null}', "Internal Server Error, without an explanation"),
        (500, b'{"error": {}}', "Internal Server Error, without an explanation"),
        (500, b'{"error": [1]}', "Internal Server Error, without an explanation"),
        (500, b'{"error": ""}', "Internal Server Error, without an explanation"),
        (500, b'{"error": {"message": " \\n "}}', "Internal Server Error, without an explanation"),
        (500, b'{"error": {"message": "\xff"}}', "Internal Server Error, without an explanation"),
        (404, b"not found", "Not Found, without an explanation"),
        (302, b'<a href="https://elsewhere.example">', "Found, without an explanation"),
        (599, b"\x00", "an unknown status, without an explanation"),
    ],
)
def test_an_answer_without_an_explanation_is_named_by_its_status(
    status: int, body: bytes, shown: str
) -> None:
    error = classify(status, body)
    assert error.reason == ""
    assert shown in str(error)
    assert str(status) in str(error)


def test_nesting_without_end_is_no_explanation() -> None:
    for deep in (b"[" * 100_000, b'{"error": {"x": ' + b"[" * 100_000):
        assert "without an explanation" in str(classify(500, deep))


def test_a_message_is_one_line_of_bounded_length() -> None:
    error = classify(400, envelope(400, "bad", "Oh\r\n\tno:  " + "x" * 10_000))
    assert error.message.startswith("Oh no: xxx")
    assert len(error.message) == 500
    assert error.message.endswith("…")
    error = classify(400, envelope(400, "bad\nly " * 1_000, "No"))
    assert len(str(error)) < 200
    assert "\n" not in str(error)


def test_a_message_cannot_steer_the_terminal() -> None:
    error = classify(400, envelope(400, "bad\x1b[2J", "\x1b]0;owned\x07 red \x1b[31m\u202e"))
    assert str(error).isprintable()
    assert "red" in str(error)


@pytest.mark.parametrize("echo", ["Authorization: Bearer {}", "bearer {}!", "token '{}' is bad"])
def test_an_access_token_that_the_answer_echoes_is_not_shown(echo: str) -> None:
    token = "ya29.a0Af_Secret-Secret.Secret"
    for body in (
        envelope(401, "authError", echo.format(token)),
        envelope(401, echo.format(token), "No"),
        json.dumps({"error": "bad", "error_description": echo.format(token)}).encode(),
        json.dumps({"error": echo.format(token)}).encode(),
    ):
        error = classify(401, body)
        assert "Secret" not in f"{error} {error!r} {error.reason}"


def test_an_access_token_of_another_kind_is_known_by_the_word_before_it() -> None:
    error = classify(401, envelope(401, "authError", "got Bearer eyJhbGciOi.Secret, expired"))
    assert "Secret" not in str(error)
    assert "expired" in str(error)


# How long to wait


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((None, None), ("0", 0.0), ("7", 7.0), (" 120 ", 120.0), ("-5", 0.0)),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        *(("", None), ("soon", None), ("٣", None), ("nan", None), ("inf", None), ("1e9", None)),
        *(("Mon, 99 Nov 2009 13:32:02 GMT", None), ("0x10", None), ("7 seconds", None)),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_garbage_is_none(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(value) == seconds


@pytest.mark.parametrize(
    "value", ["86401", "9" * 400, "9" * 5_000, "Fri, 01 Jan 9999 00:00:00 GMT"]
)
def test_nobody_is_made_to_wait_for_more_than_a_day(value: str) -> None:
    assert retry_after_seconds(value) == 86_400


def test_a_date_is_held_against_the_clock_by_default() -> None:
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=10)
    error = classify(503, b"", moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))
    assert error.retry_after_seconds is not None
    assert 500 < error.retry_after_seconds <= 600


# Anything at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errors", "details", "reason", "message", "status", "error_description"]
            ),
            inner,
            max_size=7,
        )
    ),
)


@given(st.integers(0, 999), st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_error_of_ours_that_can_be_shown(status: int, body: bytes) -> None:
    error = classify(status, body)
    assert isinstance(error, ApiError)
    assert error.status == status
    assert error.message.strip()
    assert str(error).isprintable()
    assert len(str(error)) < 800


date_words = st.sampled_from(
    [*"0123456789:+-, ", "Mon", "Jan", "2026", "99999", "GMT", "-0000", "+9999", "12:00:00"]
)


@given(st.text() | st.lists(date_words, max_size=12).map("".join))
@example("Mon, 16 Nov 2009 13:32:02 +99999999999")
@example("1 Jan 0001 00:00:00 +2359")
@example("31 Dec 9999 23:59:59 -2359")
def test_any_retry_after_is_a_bounded_wait_or_none(value: str) -> None:
    seconds = retry_after_seconds(value)
    assert seconds is None or 0 <= seconds <= 86_400
