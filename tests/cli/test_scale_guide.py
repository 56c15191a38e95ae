"""playbook/SCALE.md: its commands print what it says, and its table follows from the formulas."""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import click
import pytest

from gsc_trio.backfill import backfill
from gsc_trio.cli import main
from gsc_trio.client import open_search_console
from gsc_trio.config import Settings
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.shards.store import ShardStore
from gsc_trio.store.postgres.leases import take_lease
from gsc_trio.store.postgres.store import open_postgres_store
from gsc_trio.testing import (
    FakeOAuthServer,
    FakeSearchConsole,
    SimulatedProperty,
    open_streaming_transport,
)
from tests.cli.conftest import Serve
from tests.cli.guides import blocks, printed, read_guide
from tests.playbook.scale import table, users_for_one_postgres

GUIDE = read_guide("SCALE")
CITIES = ("oslo", "bergen", "rome")
SITE = "sc-domain:oslo.example"


def comparable(text: str) -> str:
    """How many rows a day has depends on the day, and where accounts are kept on the machine."""
    return re.sub(r"kept in .*", "kept", re.sub(r"[\d,]+ rows", "N rows", text))


def test_commands_print_what_the_guide_shows(
    serve: Serve, postgres_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emails = [f"{name}@fake-project.iam.gserviceaccount.com" for name in ("north", "south")]
    oauth = FakeOAuthServer(other_client_emails=emails)
    fake = FakeSearchConsole(
        [SimulatedProperty(f"sc-domain:{city}.example", rows_per_day=20) for city in CITIES],
        last_final_day=last_final_day(pacific_today()),
        access_tokens=oauth.access_tokens,
        user_of=oauth.user_of,
    )
    api_root = serve(oauth.in_front_of(fake))
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    monkeypatch.setenv("DATABASE", postgres_address)
    for email in emails:
        name = email.partition("@")[0]
        tmp_path.joinpath(f"{name}.json").write_text(json.dumps(oauth.key_file(api_root, email)))
    shown = blocks(GUIDE)
    assert len(shown) == 3
    for commands, expected in shown:
        assert comparable(printed(commands)) == comparable(expected)


def test_the_service_has_only_options_that_there_are() -> None:
    group = main.get_command(click.Context(main), "workers")
    assert isinstance(group, click.Group)
    known = {option for each in group.commands["start"].params for option in each.opts}
    [line] = re.findall(r"^ExecStart=.*/gsc-trio workers start (.*)$", GUIDE, re.MULTILINE)
    assert set(re.findall(r"--[\w-]+", line)) <= known


async def test_an_engine_of_ones_own_needs_four_lines(postgres_address: str) -> None:
    [snippet] = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    assert len(snippet.splitlines()) == 4
    fake = FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=20)])
    end = last_final_day(pacific_today())
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(Settings(access_token="token"), transport=transport) as client,
    ):
        names: dict[str, Any] = {
            "take_lease": take_lease,
            "open_postgres_store": open_postgres_store,
            "backfill": backfill,
            "ShardStore": ShardStore,
            "address": postgres_address,
            "client": client,
            "query": SearchAnalyticsQuery(SITE),
            "start": end - dt.timedelta(days=2),
            "end": end,
        }
        source = f"async def run():\n{textwrap.indent(snippet, '    ')}    return summary\n"
        exec(compile(ast.parse(source), "SCALE.md", "exec"), names)  # our own words
        summary = await names["run"]()
    assert (summary.status, summary.days) == ("complete", 3)


@pytest.mark.parametrize("rows_per_day", [200, 2_000, 50_000])
def test_the_tables_follow_from_the_formulas(rows_per_day: int) -> None:
    assert table(rows_per_day) in GUIDE


def test_what_is_read_from_the_tables_is_in_them() -> None:
    assert [round(users_for_one_postgres(rows), 1) for rows in (200, 2_000, 50_000)] == [
        25.0,
        2.5,
        0.2,
    ]
