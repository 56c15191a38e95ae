from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from gsc_trio.dates import last_final_day, pacific_today
from gsc_trio.testing import FakeSearchConsole, Fault, Refuse, SimulatedProperty

SITE = "sc-domain:example.com"
OTHER = "https://other.example/"
TODAY = pacific_today()
END = last_final_day(TODAY)

RunCli = Callable[..., Result]


def ago(days: int) -> dt.date:
    return END - dt.timedelta(days=days)


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [
            SimulatedProperty(SITE, rows_per_day=20, rows_by_day={ago(1): 26_000}),
            SimulatedProperty(OTHER, rows_per_day=20),
        ],
        last_final_day=END,
    )


@pytest.fixture
def cli(run_cli: RunCli, api_root: str, monkeypatch: pytest.MonkeyPatch) -> RunCli:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)

    def run(command: str, *arguments: object) -> Result:
        return run_cli(command, *arguments, "--db", "gsc.db", "--no-progress")

    return run


def targets(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.stdout)["targets"]
    return found


def ledger(column: str = "data_state") -> dict[str, str]:
    with closing(sqlite3.connect("gsc.db")) as connection:
        sql = f"SELECT data_date, group_concat({column}) FROM page_ledger GROUP BY 1"
        return dict(connection.execute(sql).fetchall())


def asked(fake: FakeSearchConsole) -> list[str]:
    return sorted(call.data_date for call in fake.calls)


def test_new_and_missing_days_are_fetched_from_the_first_stored_one_on(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    cli("backfill", SITE, "--start", ago(6), "--end", ago(5))
    cli("backfill", SITE, "--start", ago(3), "--end", ago(3))
    fake.calls.clear()
    result = cli("sync")
    assert result.exit_code == 0
    assert "complete: sc-domain:example.com, web by page, query: 4 of 4 days" in result.stdout
    assert set(asked(fake)) == {str(ago(days)) for days in (4, 2, 1, 0)}
    fake.calls.clear()
    again = cli("sync")
    assert (again.exit_code, again.stdout) == (0, "nothing to do: gsc.db is up to date\n")
    assert fake.calls == []


def test_days_that_were_not_final_are_marked_and_replaced_when_they_are(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    cli("backfill", SITE, "--start", ago(2), "--end", TODAY, "--data-state", "all")
    fake._by_site[SITE] = SimulatedProperty(SITE, rows_per_day=30, rows_by_day={ago(1): 26_500})
    result = cli("sync", "--json")
    assert targets(result)[0]["days_replaced"] == 3
    states = ledger()
    assert {day for day, state in states.items() if set(state.split(",")) == {"final"}} == {
        str(ago(days)) for days in (2, 1, 0)
    }
    assert ledger("row_count")[str(ago(1))] == "25000,1500"
    with closing(sqlite3.connect("gsc.db")) as connection:
        sql = "SELECT count(*) FROM search_analytics_by_page_query WHERE data_date = ?"
        assert connection.execute(sql, (str(ago(1)),)).fetchone() == (26_500,)
    assert cli("verify").exit_code == 0
    # Those that are not final yet are fetched only where they are wanted, and then each time.
    fake.calls.clear()
    assert cli("sync").stdout.startswith("nothing to do")
    assert cli("sync", "--data-state", "all").stdout.startswith("complete")
    assert asked(fake) == [str(TODAY - dt.timedelta(days=days)) for days in (2, 1, 0)]


def test_each_target_leaves_a_record_of_all_that_was_done_for_it(
    cli: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    cli("backfill", SITE, "--start", ago(6), "--end", ago(6), "--data-state", "all")
    cli("backfill", SITE, "--start", ago(4), "--end", ago(4))
    # One run replaces the outdated day, the next one fetches those that are missing.
    done = targets(cli("sync", SITE, OTHER, "--max-requests", 16, "--json"))
    assert [each["status"] for each in done] == ["complete", "paused"]
    cli("sync", SITE)

    def report(*arguments: object) -> Any:
        return json.loads(run_cli("report", "--db", "gsc.db", "--json", *arguments).stdout)

    runs = report("--list")
    assert [(run["run"], run["site"], run["status"]) for run in runs[:2]] == [
        (4, OTHER, "paused"),
        (3, SITE, "complete"),
    ]
    assert len(runs) == 4  # where nothing was to be done, nothing is to be told
    record = report("--run", 3)
    for name in ("status", "days", "rows", "requests"):
        assert record["summary"][name] == done[0][name]
    assert [day[1] for day in record["days"]] == [
        "stored" if day[0] == str(ago(4)) else "complete" for day in record["days"]
    ]
    assert (record["days"][0][0], record["days"][-1][0]) == (str(ago(6)), str(ago(0)))
    assert report("--run", 4)["summary"]["reason"] == "the budget of queries is spent"


def test_a_pause_is_shown_and_recorded(
    run_cli: RunCli, cli: RunCli, fake: FakeSearchConsole
) -> None:
    fake._script.faults.append(Fault(Refuse(403, "quotaExceeded", "QPS quota exceeded.")))
    Path("c.toml").write_text(f"[[sync]]\nsites = ['{SITE}']\ndays = 2\n")
    result = run_cli("sync", "--db", "gsc.db", "--config", "c.toml")
    assert "user access-token pauses for 1 s" in result.stderr
    record = json.loads(run_cli("report", "--db", "gsc.db", "--json").stdout)
    assert record["pauses"] == 1
    assert record["quota"]["user"]["limit"] == 1_200


def test_a_day_of_several_pages_is_replaced_all_at_once(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    cli("backfill", SITE, "--start", ago(2), "--end", END, "--data-state", "all")
    before = ledger("row_count"), ledger()
    fake._by_site[SITE] = SimulatedProperty(SITE, rows_per_day=30, rows_by_day={ago(1): 26_500})
    fake._script.faults.append(
        Fault(Refuse(400, "badRequest", "No."), data_date=ago(1), start_row=25_000, times=None)
    )
    result = cli("sync")
    assert result.exit_code == 1
    assert "failed: sc-domain:example.com" in result.stdout
    assert ledger("row_count")[str(ago(1))] == before[0][str(ago(1))]
    assert ledger()[str(ago(1))] == "all,all"
    assert ledger()[str(ago(0))] == "final"
    assert cli("verify", "--offline").exit_code == 0
    fake._script.faults.clear()
    assert cli("sync").exit_code == 0
    assert ledger("row_count")[str(ago(1))] == "25000,1500"


@pytest.mark.parametrize("concurrency", [1, 3])
def test_max_requests_ends_well_after_just_so_many_and_the_next_sync_goes_on(
    concurrency: int, cli: RunCli, fake: FakeSearchConsole
) -> None:
    Path("c.toml").write_text(f'[[sync]]\nsites = ["{SITE}"]\ndimensions=["country"]\ndays = 25\n')
    arguments = ("--config", "c.toml", "--max-requests", 10, "--max-concurrency", concurrency)
    done = 0
    for expected in (10, 10, 5):
        fake.calls.clear()
        result = cli("sync", *arguments, "--json")
        assert result.exit_code == 0
        assert len(fake.calls) == expected
        done += targets(result)[0]["days"]
    assert done == 25
    assert targets(result)[0]["status"] == "complete"
    assert cli("sync", *arguments).stdout == "nothing to do: gsc.db is up to date\n"


def test_a_budget_that_is_just_enough_completes(cli: RunCli) -> None:
    Path("c.toml").write_text(f'[[sync]]\nsites = ["{OTHER}"]\ndays = 7\n')
    result = cli("sync", "--config", "c.toml", "--max-requests", 7, "--json")
    assert [(each["status"], each["days"]) for each in targets(result)] == [("complete", 7)]


def test_the_budget_is_shared_fairly_the_least_work_first(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    Path("c.toml").write_text(
        f'[[sync]]\nsites = ["{SITE}"]\ndimensions = ["country", "device"]\ndays = 60\n'
        f'[[sync]]\nsites = ["{OTHER}"]\ndays = 4\n'
    )
    result = cli("sync", "--config", "c.toml", "--max-requests", 30, "--json")
    assert [(each["status"], each["requests"]) for each in targets(result)] == [
        ("paused", 13),
        ("paused", 13),
        ("complete", 4),
    ]
    assert fake.calls[0].site_url == OTHER
    assert "--max-requests 30" in targets(result)[0]["reason"]


def test_a_failing_site_does_not_stop_the_others_and_is_asked_once(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    Path("c.toml").write_text(
        f'[[sync]]\nsites = ["https://no.example/", "{SITE}"]\n'
        'dimensions = ["country", "date"]\ndays = 3\n'
    )
    result = cli("sync", "--config", "c.toml", "--max-concurrency", 1)
    assert result.exit_code == 1
    assert result.stdout.count("failed: https://no.example/") == 2
    assert result.stdout.count("complete: sc-domain:example.com") == 2
    assert "does not have sufficient permission" in result.stdout
    assert "not asked for: Google refused this site above" in result.stdout
    assert sum(call.site_url == "https://no.example/" for call in fake.calls) == 3


def test_sites_can_be_named_and_an_unknown_one_is_fetched_anew(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    cli("backfill", SITE, "--days", 2, "--dimensions", "country")
    cli("backfill", SITE, "--start", ago(9), "--end", ago(9), "--dimensions", "device")
    fake.calls.clear()
    result = cli("sync", OTHER, "--max-requests", 5, "--json")
    [only] = targets(result)
    assert (only["site"], only["status"], only["requests"]) == (OTHER, "paused", 5)
    assert only["days_wanted"] > 480
    fake.calls.clear()
    named = targets(cli("sync", SITE, "--json"))
    assert [(each["dimensions"], each["status"]) for each in named] == [
        (["country"], "nothing to do"),
        (["device"], "complete"),
    ]
    assert {call.site_url for call in fake.calls} == {SITE}


def test_a_name_mis_spelt_once_is_not_asked_for_each_time(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    cli("backfill", SITE, "--days", 2, "--dimensions", "country")
    assert cli("backfill", "https://mis-spelt.example/", "--days", 2).exit_code == 1
    fake.calls.clear()
    assert cli("sync").stdout == "nothing to do: gsc.db is up to date\n"
    assert fake.calls == []


def test_filters_and_hours_are_kept_up_as_they_were_fetched(
    cli: RunCli, fake: FakeSearchConsole
) -> None:
    chosen = ("--dimensions", "country", "--filter", "device:equals:MOBILE")
    cli("backfill", SITE, "--start", ago(4), "--end", ago(2), *chosen)
    hours = ("--dimensions", "hour", "--data-state", "hourly_all")
    cli("backfill", SITE, "--start", ago(1), "--end", ago(1), *hours)
    result = cli("sync", "--json")
    assert result.exit_code == 0
    assert {(*each["dimensions"], each["status"], each["days"]) for each in targets(result)} == {
        ("country", "complete", 2),
        ("hour", "complete", 4),
    }
    with closing(sqlite3.connect("gsc.db")) as connection:
        assert connection.execute("SELECT count(*) FROM dataset").fetchone() == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to sync: name a SITE"),
        (("example.com",), "'example.com' is no Search Console property"),
        ((SITE, "--max-requests", "0"), "0 is not in the range"),
        ((SITE, "--config", "none.toml"), "cannot read the settings file none.toml"),
        ((SITE, "--config", "bad.toml"), "bad.toml, line 3: [[sync]] has an unknown key 'dayz'"),
        ((SITE, "--api-root", "https://searchconsole.googleapis.com"), "not signed in"),
    ],
)
def test_wrong_usage_changes_nothing(arguments: tuple[str, ...], message: str, cli: RunCli) -> None:
    Path("bad.toml").write_text(f'[[sync]]\nsites = ["{SITE}"]\ndayz = 3\n')
    result = cli("sync", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not Path("gsc.db").exists()
