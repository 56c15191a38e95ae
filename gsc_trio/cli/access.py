"""Whether there is what it takes to ask Google."""

from __future__ import annotations

from urllib.parse import urlsplit

from gsc_trio.config import Settings, environment_variable
from gsc_trio.errors import UsageError

SCOPE = "https://www.googleapis.com/auth/webmasters.readonly"


def check_access_token(settings: Settings) -> None:
    """Refuse to ask Google without a token. Other addresses, as the fake's, may not want one.

    Raises:
        UsageError: it says where to get a token and how to pass it.
    """
    host = urlsplit(settings.api_root).hostname or ""
    if settings.access_token or not f".{host}".endswith(".googleapis.com"):
        return
    raise UsageError(
        f"no access token: set {environment_variable('access_token')}. Get one for the scope "
        f"{SCOPE} at https://developers.google.com/oauthplayground, or for a service account with "
        f"`gcloud auth print-access-token --scopes={SCOPE}`"
    )
