"""Every kind of data from the command line into the database, over a real socket."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from click.testing import Result

from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty
from gsc_trio.testing.kinds import rows_of_kind
from gsc_trio.testing.query_request import RequestedFilter

SITE = "sc-domain:example.com"
DAYS = 3

RunCli = Callable[..., Result]


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=40)], last_final_day=last_final_day(pacific_today())
    )


def stored(sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("gsc.db")) as connection:
        return connection.execute(sql).fetchall()


def backfill(run_cli: RunCli, api_root: str, *options: object) -> dict[str, Any]:
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", api_root, "--days", DAYS)
    result = run_cli(*arguments, "--json", *options)
    assert result.exit_code == 0, result.output
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


@pytest.mark.parametrize(
    "options",
    [
        ("--search-type", "image"),
        ("--search-type", "discover", "--dimensions", "page,country"),
        ("--search-type", "googleNews", "--dimensions", "page,device"),
        ("--dimensions", "searchAppearance"),
        ("--filter", "searchAppearance:equals:VIDEO"),
        ("--filter", "page:contains:/1/", "--filter", "country:notEquals:usa"),
        ("--dimensions", "country", "--aggregation-type", "byPage"),
        ("--dimensions", "hour,page", "--data-state", "hourly_all"),
    ],
)
def test_every_kind_is_fetched_once_and_kept_apart_from_others(
    options: tuple[str, ...], run_cli: RunCli, api_root: str, fake: FakeSearchConsole
) -> None:
    whole = backfill(run_cli, api_root, "--dimensions", "page,query")
    kind = backfill(run_cli, api_root, *options)
    assert kind["requests"] >= DAYS
    assert kind["rows"]
    for again in ((), options):
        summary = backfill(run_cli, api_root, *again)
        assert (summary["status"], summary["requests"]) == ("complete", 0)
    totals = stored(
        "SELECT (SELECT sum(row_count) FROM page_ledger), (SELECT sum(rows) FROM (SELECT count(*) "
        "AS rows FROM searchdata_url_impression UNION ALL SELECT count(*) FROM "
        "searchdata_site_impression UNION ALL SELECT count(*) FROM filtered_impression UNION ALL "
        "SELECT count(*) FROM hourly_impression))"
    )
    assert totals == [(whole["rows"] + kind["rows"],) * 2]


def test_what_is_filtered_is_what_the_server_holds(
    run_cli: RunCli, api_root: str, fake: FakeSearchConsole
) -> None:
    backfill(run_cli, api_root, "--filter", "device:equals:mobile")
    [held] = fake.properties
    assert isinstance(held, SimulatedProperty)
    newest = last_final_day(pacific_today())
    rows = [
        json.loads(row)
        for day in (newest - dt.timedelta(days=number) for number in range(DAYS))
        for row in rows_of_kind(
            held, day, "web", ("page", "query"), (RequestedFilter("device", "MOBILE"),)
        )
    ]
    assert rows
    found = stored(
        "SELECT url, query, clicks FROM filtered_impression "
        "WHERE filters = 'device:equals:MOBILE' ORDER BY 1, 2, 3"
    )
    assert found == sorted((*row["keys"], row["clicks"]) for row in rows)


def test_positions_are_missing_where_google_gives_none(run_cli: RunCli, api_root: str) -> None:
    backfill(run_cli, api_root, "--search-type", "discover", "--dimensions", "page")
    assert stored("SELECT DISTINCT sum_position FROM searchdata_url_impression") == [(None,)]


def test_hours_end_today_and_begin_nine_days_ago(
    run_cli: RunCli, api_root: str, fake: FakeSearchConsole
) -> None:
    hourly = ("--dimensions", "hour", "--data-state", "hourly_all", "--api-root", api_root)
    assert run_cli("backfill", SITE, "--db", "gsc.db", *hourly).exit_code == 0
    today = pacific_today()
    days = stored("SELECT min(data_date), max(data_date), count(*) FROM hourly_impression")
    first = today - dt.timedelta(days=9)
    assert days[0][:2] == (str(first), str(today))
    assert 10 * 24 - 1 <= days[0][2] <= 10 * 24 + 1
    too_many = run_cli("backfill", SITE, "--db", "gsc.db", *hourly, "--days", 11)
    too_old = run_cli(
        "backfill", SITE, "--db", "gsc.db", *hourly, "--start", first - dt.timedelta(days=1)
    )
    assert (too_many.exit_code, too_old.exit_code) == (2, 2)
    assert "use 1 to 10, since Search Console gives hours of 10 days" in too_many.stderr
    assert f"start on {first} or later" in too_old.stderr


def test_people_see_what_was_filtered(run_cli: RunCli, api_root: str) -> None:
    # Whatever day it is, some rows match.
    options = ("--filter", "page:contains:/", "--filter", "country:notEquals:usa", "--days", 3)
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", api_root, "--no-progress")
    kind = "where page:contains:/ and country:notEquals:usa aggregated byPage"
    result = run_cli(*arguments, *options, "--aggregation-type", "byPage")
    assert f"web by page, query {kind}" in result.stdout
    assert f"page,query {kind}" in run_cli("status", "--db", "gsc.db").stdout
    commands = [line for line in result.stdout.splitlines() if "sqlite3 -box" in line]
    assert len(commands) == 2
    for command in commands:
        assert stored(command.split('"', 1)[1].removesuffix('"'))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--filter", "page"), "'page' is no filter: write DIMENSION:OPERATOR:EXPRESSION"),
        (("--filter", "date:equals:2026-01-01"), "there is no filter on 'date'"),
        (("--filter", "query:includingRegex:(?=a)"), "RE2 has no (?=…)"),
        (("--aggregation-type", "byProperty"), "byProperty cannot be combined with the page"),
        (("--data-state", "hourly_all"), "needs the hour dimension"),
        (("--dimensions", "hour"), "add --data-state hourly_all"),
        (("--dimensions", "page,searchAppearance"), "ask for it alone, then"),
    ],
)
def test_what_google_would_refuse_costs_no_request(
    options: tuple[str, ...],
    message: str,
    run_cli: RunCli,
    api_root: str,
    fake: FakeSearchConsole,
) -> None:
    result = run_cli("backfill", SITE, "--db", "gsc.db", "--api-root", api_root, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert fake.http_requests == 0
