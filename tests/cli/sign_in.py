"""A fake Google to sign in to, and a browser that does what it is told."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import httpx

from gsc_trio.testing import FakeOAuthServer

CLIENT_FILE = Path("client.json")
KEY_FILE = Path("robot.json")


def write_files(oauth: FakeOAuthServer, api_root: str) -> None:
    """Put what one signs in with into the current folder."""
    CLIENT_FILE.write_text(json.dumps(oauth.client_file(api_root)))
    KEY_FILE.write_text(json.dumps(oauth.key_file(api_root)))


class Browser:
    """Stands for the web browser: it follows the address, wherever it leads."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def open(self, address: str) -> bool:
        thread = threading.Thread(target=self._visit, args=[address])
        thread.start()
        self.threads.append(thread)
        return True

    def close(self) -> None:
        for thread in self.threads:
            thread.join()

    @staticmethod
    def _visit(address: str) -> None:
        httpx.get(address, follow_redirects=True, timeout=10)


class ExpiringTokens:
    """The server's live tokens; they end after so many queries were answered."""

    def __init__(self, oauth: FakeOAuthServer, queries: int) -> None:
        self.oauth = oauth
        self.queries = queries
        self.seen = 0

    def __contains__(self, token: object) -> bool:
        is_good = token in self.oauth.access_tokens
        self.seen += is_good
        if is_good and self.seen % self.queries == 0:
            self.oauth.expire_all()
        return is_good
