"""What the preflight can tell that no rehearsal shows: clocks, disks, permission levels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from email.utils import format_datetime
from typing import NamedTuple

import httpx
import pytest

from gsc_trio.client import open_search_console
from gsc_trio.rollout.findings import Check
from gsc_trio.rollout.plan import RolloutRequest
from gsc_trio.rollout.preflight import Preflight, check_everything
from tests.rollout.conftest import SITE


async def checks_with(
    request: RolloutRequest,
    *,
    clock: dt.timedelta | None = dt.timedelta(),
    level: str = "siteFullUser",
    rows: int = 3,
) -> dict[str, Check]:
    """The checks, with a server that tells this time, knows the site and has so many rows."""

    def answer(asked: httpx.Request) -> httpx.Response:
        if asked.method == "HEAD":
            assert "Authorization" not in asked.headers
            if clock is None:
                raise httpx.ConnectError("refused")
            date = format_datetime(dt.datetime.now(dt.UTC) + clock, usegmt=True)
            return httpx.Response(404, headers={"Date": date})
        if asked.method == "GET":
            entry = {"siteUrl": SITE, "permissionLevel": level}
            return httpx.Response(200, json={"siteEntry": [entry]})
        row = {"keys": ["a", "b"], "clicks": 1, "impressions": 1, "position": 1}
        return httpx.Response(200, json={"rows": [row] * rows})

    transport = httpx.MockTransport(answer)
    preflight = Preflight()
    async with open_search_console(request.settings, transport=transport) as client:
        stream = check_everything(request, client, preflight, transport=transport)
        return {check.name: check async for check in stream}


RequestFor = Callable[..., RolloutRequest]


async def test_all_is_well(request_for: RequestFor) -> None:
    checks = await checks_with(request_for(access_token="secret-token"))
    names = ["settings", "quota", "database", "clock", "access", "query", "disk"]
    assert list(checks) == names
    assert all(check.is_good for check in checks.values())
    assert checks["access"].text.endswith("as siteFullUser")
    assert not any("secret" in check.text for check in checks.values())


@pytest.mark.parametrize(
    ("clock", "words"),
    [
        (dt.timedelta(seconds=-90), "s ahead of the server's: set this machine's clock"),
        (dt.timedelta(hours=2), "s behind the server's: set this machine's clock"),
        (None, "http://fake.example cannot be reached: refused"),
    ],
)
async def test_a_wrong_clock_or_no_network(
    request_for: RequestFor, clock: dt.timedelta | None, words: str
) -> None:
    check = (await checks_with(request_for(), clock=clock))["clock"]
    assert not check.is_good
    assert words in check.text


async def test_a_clock_that_is_nearly_right_is_right(request_for: RequestFor) -> None:
    checks = await checks_with(request_for(), clock=dt.timedelta(seconds=55))
    assert checks["clock"].is_good


async def test_an_unverified_user_has_no_access(request_for: RequestFor) -> None:
    checks = await checks_with(request_for(), level="siteUnverifiedUser")
    assert not checks["access"].is_good
    assert "ask an owner for access" in checks["access"].text
    assert "query" not in checks


class Usage(NamedTuple):
    total: int
    used: int
    free: int


async def test_a_disk_that_is_too_small(
    request_for: RequestFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def free_bytes(number: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**12, 0, number))

    # 20 rows fill a page, so a day may have 40; four stages of 400 days fetch it.
    request = request_for(days=400)
    needed = 4 * 400 * 40 * 300 + 100_000_000
    free_bytes(needed)
    assert (await checks_with(request, rows=20))["disk"].is_good
    free_bytes(needed - 1)
    check = (await checks_with(request, rows=20))["disk"]
    assert not check.is_good
    assert check.text == (
        "0.1 GB free, and up to 0.1 GB are needed: make room, or give a --db on another disk"
    )
    assert (await checks_with(request, rows=19))["disk"].is_good
