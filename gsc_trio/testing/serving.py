"""The fake on a real socket."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from gsc_trio.serving import serve_asgi
from gsc_trio.testing.transport import App


def serve_fake_search_console(
    app: App, *, host: str = "127.0.0.1", port: int = 0
) -> AbstractAsyncContextManager[str]:
    """Serve an app for as long as the body runs; gives its root address.

    Args:
        app: what to serve: a `FakeSearchConsole`, or one that a `FakeOAuthServer` stands before.
        host: which address to listen on; loopback by default.
        port: which port; 0 for a free one.

    Raises:
        OSError: the address is in use or not this machine's.
    """
    return serve_asgi(app, host=host, port=port)
