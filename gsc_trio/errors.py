"""Every error this package raises on purpose, in one tree.

- `UsageError`: what was asked for cannot be done; nothing was changed (exit code 2).
- `FinalError`: Google refused, and asking again will not help.
- `TransientError`: asking again may help; the retry policy decides how and how often.
- `StorageError`: the database could not take or give the data.

An error carries its facts as attributes, and a message that says what happened, to what, and what
to do. A secret is never among them.
"""

from __future__ import annotations

from typing import ClassVar


class GscTrioError(Exception):
    """The root of the tree."""


class UsageError(GscTrioError):
    """The request itself is wrong: an option, a setting, a path, a property name."""


class StorageError(GscTrioError):
    """The database could not be read or written."""


class DatabaseInUseError(StorageError):
    """Another process, or another store of this one, is writing to the database."""


class FencedError(StorageError):
    """Another worker has taken over what this one writes: nothing of it is accepted any more."""


class ApiError(GscTrioError):
    """A call to Google did not give what was asked for.

    Args:
        message: Google's own words, or what is wrong with the answer.
        status: the HTTP status, or None where no answer came.
        reason: Google's reason, as ``quotaExceeded``, or an empty string.
        retry_after_seconds: how long the answer asked to wait, or None.
    """

    advice: ClassVar[str] = ""
    """What a person can do about it; empty where it is not theirs to mend."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        facts = " ".join(str(fact) for fact in (self.status, self.reason) if fact)
        return f"{self.message} ({facts})" if facts else self.message


class FinalError(ApiError):
    """Google refused, and will refuse again: the run halts."""


class PermissionDeniedError(FinalError):
    """No access to the property, or its name is mis-spelt."""

    advice = "check the property's name, and that this account may see it"


class UnauthenticatedError(FinalError):
    """The access token is missing, wrong, expired or revoked (401)."""

    advice = "get a new access token, or sign in with `gsc-trio login`, and run again"


class SignInError(FinalError):
    """No access token can be had: a sign-in was revoked, a key was refused, a clock is wrong."""


class DailyLimitExceededError(FinalError):
    """The project's quota for today is used up; it is renewed at midnight Pacific time."""


class TransientError(ApiError):
    """Asking again may help."""


class RateLimitExceededError(TransientError):
    """Too fast: the key it was counted against must pause."""


class LoadQuotaExceededError(TransientError):
    """The load quota (10 minutes or a day) is used up: wait 15 minutes, then try one query."""


class BackendError(TransientError):
    """Google's side failed (5xx)."""


class AccessTokenExpiredError(TransientError):
    """The access token was refused (401), and a new one can be had."""


class TransportError(TransientError):
    """The connection failed, timed out or was cut off."""


class MalformedResponseError(TransientError):
    """What came back is not what the API sends: bad JSON, HTML, a missing part."""
