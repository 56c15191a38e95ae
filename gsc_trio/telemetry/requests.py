"""What is told of an HTTP request: from sending it to the end of its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import httpx
import trio

from gsc_trio.telemetry.events import RequestFinished
from gsc_trio.telemetry.instrument import Instruments


@attrs.define(eq=False)
class Told:
    """What becomes known while a request is out."""

    status: int | None = None


@contextmanager
def told_request(instruments: Instruments, request: httpx.Request, queries: int) -> Iterator[Told]:
    """Tell instruments of a request when the body, in which it is sent and answered, is left.

    Args:
        instruments: who is told.
        request: what is sent; its address must hold no secret.
        queries: how many it counts as against the quota.
    """
    told, began_at = Told(), trio.current_time()
    failure: BaseException | None = None
    try:
        yield told
    except BaseException as error:
        failure = error
        raise
    finally:
        instruments.handle(
            RequestFinished(
                method=request.method,
                url=str(request.url),
                queries=queries,
                status=told.status,
                duration_seconds=trio.current_time() - began_at,
                error=failure,
            )
        )
