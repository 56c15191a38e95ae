from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import trio
from click.testing import CliRunner, Result

from gsc_trio.cli import main
from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.model import InFlightChanges, Job, SearchAnalyticsQuery
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.testing import FakeSearchConsole

SITE = "sc-domain:example.com"

RunCli = Callable[..., Result]


def test_status_says_what_is_there(run_cli: RunCli, api_root: str, fake: FakeSearchConsole) -> None:
    end = last_final_day(pacific_today())
    arguments = ("backfill", SITE, "--db", "gsc.db", "--api-root", api_root, "--json")
    by_query = json.loads(run_cli(*arguments, "--days", 4).stdout)
    run_cli(*arguments, "--days", 2, "--search-type", "discover", "--dimensions", "page")
    older = by_query["start"].replace(by_query["start"], str(end.replace(year=end.year - 1)))
    gap = json.loads(run_cli(*arguments, "--start", older, "--end", older).stdout)

    rows = {
        row["search_type"]: row
        for row in json.loads(run_cli("status", "--db", "gsc.db", "--json").stdout)
    }
    assert rows["web"] == {
        "site_url": SITE,
        "search_type": "web",
        "dimensions": ["page", "query"],
        "days_complete": 5,
        "days_missing": rows["web"]["days_missing"],
        "rows": by_query["rows"] + gap["rows"],
        "first_day": older,
        "last_day": str(end),
        "in_flight": 0,
        "in_flight_since": None,
        "aggregation_type": "auto",
        "filters": [],
    }
    assert rows["web"]["days_missing"] in {365 + 1 - 5, 366 + 1 - 5}
    assert (rows["discover"]["dimensions"], rows["discover"]["days_complete"]) == (["page"], 2)

    table = run_cli("status", "--db", "gsc.db").stdout.splitlines()
    assert table[0].split() == [
        *("site", "type", "dimensions", "days", "missing", "rows"),
        *("first", "day", "last", "day", "in", "flight", "since", "(UTC)"),
    ]
    assert len(table) == 3
    column = table[0].index("dimensions")
    assert {line[column:].split()[0] for line in table[1:]} == {"page,query", "page"}
    assert not any(line.endswith(" ") for line in table)


async def test_status_says_since_when_a_killed_run_had_queries_in_flight(tmp_path: Path) -> None:
    query = SearchAnalyticsQuery(SITE)
    jobs = [Job(dt.date(2026, 3, number)) for number in (1, 2)]
    async with open_sqlite_store(tmp_path / "gsc.db") as store:
        await store.begin_run(query, jobs[0].data_date, jobs[1].data_date)
        for job in jobs:
            await store.record_in_flight(query, InFlightChanges(taken=((job, "worker-1"),)))
        oldest = min(
            each for (each,) in store._connection.execute("SELECT since_at FROM in_flight")
        )

    def status(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["status", "--db", "gsc.db", *arguments])
        return result.stdout

    [row] = json.loads(await trio.to_thread.run_sync(status, "--json"))
    assert (row["in_flight"], row["in_flight_since"]) == (2, str(dt.datetime.fromisoformat(oldest)))
    line = (await trio.to_thread.run_sync(status)).splitlines()[1]
    assert line.split()[-3:] == ["2", oldest[:10], oldest[11:19]]
