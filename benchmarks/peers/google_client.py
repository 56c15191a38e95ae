"""Google's own client, as its documentation shows it, but for the server's address."""

from __future__ import annotations

import json
from typing import Any

import httplib2
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc


def build_service(api_root: str) -> Any:
    """The ``searchconsole`` service. Not for several threads at once: httplib2 is not."""
    document = json.loads(get_static_doc("searchconsole", "v1"))
    document["rootUrl"] = f"{api_root}/"  # which is also where batches go
    credentials = Credentials(token="benchmark")
    return build_from_document(document, http=AuthorizedHttp(credentials, http=httplib2.Http()))
