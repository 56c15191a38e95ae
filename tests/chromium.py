"""A headless Chromium to look at pages with, spoken to over two pipes by the DevTools protocol.

Nothing is needed but the browser itself. It has a new, empty profile, and a page is loaded by its
``file://`` address, so that nothing but the page is there to load.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

BINARY = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(
    BINARY is None, reason="no chromium on the PATH: apt-get install chromium"
)

_FLAGS = (
    "--headless",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)


@attrs.define(eq=False)
class Chromium:
    """A tab. Commands are those of the DevTools protocol."""

    _to_browser: Any
    _from_browser: Any
    _session: str | None = None
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    _rest: bytes = b""
    events: list[tuple[str, Any]] = attrs.field(factory=list)
    """What it told of itself, as method and parameters."""

    def send(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its result."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        self._to_browser.write(json.dumps(command).encode() + b"\0")
        self._to_browser.flush()
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def open(self, path: Path, *, width: int, height: int, scheme: str = "light") -> None:
        """Load a page in a window of this size, in the ``light`` or the ``dark`` scheme."""
        if self._session is None:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        self.send("Page.navigate", url=path.absolute().as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def complaints(self) -> list[str]:
        """What the page left in the console since it was opened."""
        found = []
        for method, parameters in self.events:
            if method == "Log.entryAdded":
                found.append(parameters["entry"]["text"])
            elif method in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown"}:
                found.append(json.dumps(parameters))
        return found

    def requests(self) -> list[str]:
        """The addresses that the page asked for since it was opened."""
        sent = (each for method, each in self.events if method == "Network.requestWillBeSent")
        return [each["request"]["url"] for each in sent]

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        taken = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(taken["data"])

    def _receive(self) -> Any:
        while b"\0" not in self._rest:
            received = os.read(self._from_browser.fileno(), 1 << 20)
            assert received, "the browser is gone"
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append((message["method"], message.get("params")))
        return message


@contextmanager
def open_chromium(profile: Path) -> Iterator[Chromium]:
    """Start a browser with this empty folder as its profile, and end it."""
    assert BINARY is not None
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # It reads commands from descriptor 3 and answers on descriptor 4.
    shell = f'exec "$0" "$@" 3<&{command_read} 4>&{answer_write}'
    browser = subprocess.Popen(
        ["/bin/bash", "-c", shell, BINARY, *_FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(command_read, answer_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(command_read)
    os.close(answer_write)
    try:
        with os.fdopen(command_write, "wb") as to_browser, os.fdopen(answer_read, "rb") as answers:
            chromium = Chromium(to_browser, answers)
            yield chromium
            chromium._session = None
            chromium.send("Browser.close")
    finally:
        try:
            browser.wait(timeout=10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
