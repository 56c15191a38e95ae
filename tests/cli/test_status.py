from __future__ import annotations

import json
from collections.abc import Callable

from click.testing import Result

from gsc_trio.dates import last_final_day, pacific_today
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
    }
    assert rows["web"]["days_missing"] in {365 + 1 - 5, 366 + 1 - 5}
    assert (rows["discover"]["dimensions"], rows["discover"]["days_complete"]) == (["page"], 2)

    table = run_cli("status", "--db", "gsc.db").stdout.splitlines()
    assert table[0].split() == [
        *("site", "type", "dimensions", "days", "missing", "rows"),
        *("first", "day", "last", "day", "in", "flight"),
    ]
    assert len(table) == 3
    column = table[0].index("dimensions")
    assert {line[column:].split()[0] for line in table[1:]} == {"page,query", "page"}
    assert not any(line.endswith(" ") for line in table)
