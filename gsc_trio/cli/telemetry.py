"""The flags by which a run is watched from outside, and the instruments that they ask for.

A command that runs something takes `telemetry_options`, gets a `TelemetryOptions`, and opens its
instruments around the run with `open_telemetry`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import attrs
import click

from gsc_trio.cli.display import Display, choose_display
from gsc_trio.cli.log import FORMATS, LogDisplay, open_log
from gsc_trio.cli.output import tell
from gsc_trio.client import DEFAULT_USER
from gsc_trio.config import Settings
from gsc_trio.errors import UsageError
from gsc_trio.telemetry.instrument import Instrument
from gsc_trio.telemetry.logs import LEVELS

Function = TypeVar("Function", bound=Callable[..., Any])

LOOPBACK = "127.0.0.1"


@attrs.frozen
class TelemetryOptions:
    """What was asked for.

    Raises:
        UsageError: a flag without the one that it belongs to.
    """

    log_format: str | None = None
    """``json`` or ``text``; None for no log."""
    log_level: str | None = None
    metrics_port: int | None = None
    metrics_host: str | None = None
    with_identities: bool = False
    """Whether metrics and traces name the property and the user."""

    def __attrs_post_init__(self) -> None:
        if self.log_level is not None and self.log_format is None:
            raise UsageError("--log-level needs --log-format")
        if self.metrics_host is not None and self.metrics_port is None:
            raise UsageError("--metrics-host needs --metrics-port")

    def tell(self, text: str) -> None:
        """Tell the person who watches: a line of the log, if there is one."""
        if self.log_format is None:
            tell(text)
        else:
            LogDisplay(self.log_format).tell(text)


def telemetry_options(function: Function) -> Function:
    """Give a command the flags; it gets a `TelemetryOptions` as ``telemetry``."""

    @functools.wraps(function)
    def with_telemetry(
        *args: Any,
        log_format: str | None,
        log_level: str | None,
        metrics_port: int | None,
        metrics_host: str | None,
        telemetry_identities: bool,
        **rest: Any,
    ) -> Any:
        telemetry = TelemetryOptions(
            log_format, log_level, metrics_port, metrics_host, telemetry_identities
        )
        return function(*args, telemetry=telemetry, **rest)

    decorated: Any = with_telemetry
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    result: Function = decorated
    return result


_OPTIONS = (
    click.option(
        "--log-format",
        type=click.Choice(list(FORMATS)),
        help="Log what happens on stderr, one event a line, in the place of progress.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        help="The least important events to log.  [default: info]",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        metavar="N",
        help="Serve metrics to Prometheus on this port while it runs; 0 takes a free one.",
    ),
    click.option(
        "--metrics-host",
        metavar="ADDRESS",
        help=f"The address to serve them on.  [default: {LOOPBACK}]",
    ),
    click.option(
        "--telemetry-identities",
        is_flag=True,
        help="Name the property and the user in metrics and traces.",
    ),
)


def choose_shown(options: TelemetryOptions, *, wants_progress: bool) -> Display:
    """What shows progress: a log takes its place."""
    if options.log_format is not None:
        return LogDisplay(options.log_format)
    return choose_display(wants_progress=wants_progress)


@asynccontextmanager
async def open_telemetry(
    options: TelemetryOptions, settings: Settings, *, site: str, user: str = DEFAULT_USER
) -> AsyncIterator[list[Instrument]]:
    """The instruments that were asked for, with what serves and writes beside them.

    OpenTelemetry's are also there when its SDK was set up before this program began, as
    ``opentelemetry-instrument gsc-trio ...`` does.

    Args:
        options: what was asked for.
        settings: those of the run.
        site: the property, to be named only if that was asked for.
        user: whose quota is spent, likewise.

    Raises:
        UsageError: metrics cannot be served: the port is in use, or a package is missing.
    """
    instruments: list[Instrument] = []
    async with AsyncExitStack() as stack:
        if options.log_format is not None:
            level = options.log_level or "info"
            instruments.append(await stack.enter_async_context(open_log(options.log_format, level)))
        provider = None
        if options.metrics_port is not None:
            from gsc_trio.cli.metrics_server import open_metrics_server

            address, provider = await stack.enter_async_context(
                open_metrics_server(options.metrics_host or LOOPBACK, options.metrics_port)
            )
            options.tell(f"metrics are at {address}")
        # Loading OpenTelemetry takes as long as everything else together.
        if provider is not None or "opentelemetry.sdk" in sys.modules:
            from gsc_trio.telemetry.metrics import OpenTelemetryMetrics
            from gsc_trio.telemetry.traces import OpenTelemetryTraces

            named = (site, user) if options.with_identities else (None, None)
            instruments += [
                OpenTelemetryMetrics(
                    settings, site=named[0], user=named[1], meter_provider=provider
                ),
                OpenTelemetryTraces(site=named[0], user=named[1]),
            ]
        yield instruments
