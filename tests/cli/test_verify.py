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

from gsc_trio.dates import last_final_day, oldest_day, pacific_today
from gsc_trio.store.dump import comparable_dump
from gsc_trio.testing import FakeSearchConsole, Fault, Refuse, ShiftedRows, SimulatedProperty

SITE = "sc-domain:example.com"
OTHER = "https://other.example/"
END = last_final_day(pacific_today())
LONG_DAY = END - dt.timedelta(days=1)

RunCli = Callable[..., Result]


@pytest.fixture
def fake() -> FakeSearchConsole:
    return FakeSearchConsole(
        [
            SimulatedProperty(SITE, rows_per_day=40, rows_by_day={LONG_DAY: 26_000}),
            SimulatedProperty(OTHER, rows_per_day=30),
        ],
        last_final_day=END,
    )


@pytest.fixture
def backfill(run_cli: RunCli, api_root: str, monkeypatch: pytest.MonkeyPatch) -> RunCli:
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)

    def run(*arguments: object) -> Result:
        result = run_cli("backfill", *arguments, "--db", "gsc.db", "--no-progress")
        assert result.exit_code == 0
        return result

    return run


def verdicts(result: Result) -> dict[str, list[str]]:
    return {
        ",".join(dataset["dimensions"]): [day["verdict"] for day in dataset["days"]]
        for dataset in json.loads(result.stdout)["datasets"]
    }


def the_days(result: Result) -> list[dict[str, Any]]:
    [dataset] = json.loads(result.stdout)["datasets"]
    days: list[dict[str, Any]] = dataset["days"]
    return days


def change(sql: str) -> None:
    with closing(sqlite3.connect("gsc.db")) as connection, connection:
        assert connection.execute(sql).rowcount > 0


def test_a_good_database_is_compared_with_totals_that_are_fetched_once(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    for dimensions in ("page,query", "page", "country", "date", "searchAppearance"):
        backfill(SITE, "--days", 3, "--dimensions", dimensions)
    backfill(SITE, "--days", 3, "--dimensions", "device", "--filter", "country:equals:usa")
    calls = len(fake.calls)
    result = run_cli("verify", "--db", "gsc.db", "--json")
    assert result.exit_code == 0
    assert verdicts(result) == {
        "device": ["consistent"] * 3,
        "page,query": ["complete"] * 3,
        "page": ["complete"] * 3,
        "country": ["complete"] * 3,
        "": ["complete"] * 3,
        "searchAppearance": ["consistent"] * 3,
    }
    # Counted by page for two of them, and by property for two others.
    assert len(fake.calls) - calls == 3 + 3
    day = next(
        dataset["days"][0]
        for dataset in json.loads(result.stdout)["datasets"]
        if "query" in dataset["dimensions"]
    )
    assert day["anonymised_clicks_share"] == pytest.approx(1 / 6, abs=0.01)
    text = run_cli("verify", "--db", "gsc.db", "--no-progress").stdout
    assert "16." in text
    assert text.endswith("no defect in 18 days\n")


def test_the_queries_are_recorded_so_that_the_next_run_stays_within_the_quota(
    backfill: RunCli, run_cli: RunCli
) -> None:
    backfill(SITE, "--days", 3)
    run_cli("verify", "--db", "gsc.db")
    with closing(sqlite3.connect("gsc.db")) as connection:
        recorded = connection.execute("SELECT sum(queries) FROM quota_grant").fetchone()
    assert recorded == (4 + 3,)


@pytest.mark.parametrize("flags", [(), ("--offline",)])
@pytest.mark.parametrize(
    ("sql", "verdict"),
    [
        ("DELETE FROM {rows} WHERE row_number = 2", "lost rows"),
        ("UPDATE {rows} SET country = 'usa' WHERE row_number < 2", "doubled rows"),
        ("DELETE FROM page_ledger WHERE row_count > 0", "unknown rows"),
    ],
)
def test_a_defect_is_told_with_and_without_google(
    sql: str, verdict: str, flags: tuple[str, ...], backfill: RunCli, run_cli: RunCli
) -> None:
    backfill(SITE, "--days", 2, "--dimensions", "country")
    change(f"{sql.format(rows='search_analytics_by_country')} AND data_date = '{END}'")
    result = run_cli("verify", "--db", "gsc.db", "--json", *flags)
    assert result.exit_code == 1
    assert verdicts(result)["country"][-1] == verdict
    assert json.loads(result.stdout)["defects"] == 1
    text = run_cli("verify", "--db", "gsc.db", "--offline").stdout
    assert verdict.upper() in text
    assert "1 of 2 days have a defect" in text


@pytest.mark.parametrize("flags", [(), ("--offline",)])
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM {rows} WHERE row_number = 2",
        "UPDATE {rows} SET country = 'usa' WHERE row_number < 2",
        "DELETE FROM page_ledger WHERE row_count > 0",
    ],
)
def test_the_next_sync_replaces_a_day_with_a_defect_that_was_marked(
    sql: str, flags: tuple[str, ...], backfill: RunCli, run_cli: RunCli
) -> None:
    backfill(SITE, "--days", 2, "--dimensions", "country")
    before = comparable_dump(Path("gsc.db"))
    change(f"{sql.format(rows='search_analytics_by_country')} AND data_date = '{END}'")
    result = run_cli("verify", "--db", "gsc.db", "--repair", *flags)
    assert result.exit_code == 1
    assert result.stdout.endswith("1 day is marked: `gsc-trio sync --db gsc.db` replaces it\n")
    assert run_cli("sync", "--db", "gsc.db").exit_code == 0
    assert run_cli("verify", "--db", "gsc.db").exit_code == 0
    assert comparable_dump(Path("gsc.db")) == before
    assert "nothing to repair" in run_cli("verify", "--db", "gsc.db", "--repair").stdout


def test_a_day_with_shifted_rows_is_marked_too_but_only_while_google_has_it(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    shifted = Fault(ShiftedRows(5), times=3, data_date=LONG_DAY, start_row=25_000)
    fake._script.faults.append(shifted)
    backfill(SITE, "--start", LONG_DAY, "--end", LONG_DAY)
    result = run_cli("verify", "--db", "gsc.db", "--repair", "--json")
    assert (result.exit_code, json.loads(result.stdout)["days_marked"]) == (0, 1)
    [day] = the_days(run_cli("verify", "--db", "gsc.db", "--json"))
    assert day["verdict"] == "not final"
    assert "1 of them were not final before" in run_cli("sync", "--db", "gsc.db").stdout
    day, _ = the_days(run_cli("verify", "--db", "gsc.db", "--json"))
    assert (day["verdict"], day["rows_shifted"]) == ("complete", 0)
    change("DELETE FROM search_analytics_by_page_query WHERE row_number = 2")
    for table in ("search_analytics_by_page_query", "page_ledger"):
        change(f"UPDATE {table} SET data_date = date(data_date, '-2 years')")
    result = run_cli("verify", "--db", "gsc.db", "--repair")
    assert result.exit_code == 1
    assert "nothing to repair" in result.stdout


def test_a_backfill_tells_of_days_that_it_fetched_again_and_records_their_last_pages_only(
    run_cli: RunCli, api_root: str, fake: FakeSearchConsole
) -> None:
    days = ("--start", LONG_DAY, "--end", LONG_DAY, "--api-root", api_root, "--no-progress")
    run_cli("backfill", SITE, "--db", "undisturbed.db", *days, "--record", "undisturbed.cassette")
    fake._script.faults.append(Fault(ShiftedRows(5), data_date=LONG_DAY, start_row=25_000))
    options = ("--db", "gsc.db", *days, "--record", "run.cassette", "--log-format", "json")
    result = run_cli("backfill", SITE, *options)
    assert result.exit_code == 0
    assert "  1 days, 4 pages, 52,005 rows" in result.stdout
    assert "1 day was fetched again, since rows moved between its pages" in result.stdout
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    [moved] = [event for event in events if event["event"] == "rows_moved"]
    assert (moved["level"], moved["data_date"]) == ("warning", str(LONG_DAY))
    assert comparable_dump(Path("gsc.db")) == comparable_dump(Path("undisturbed.db"))
    recorded = Path("run.cassette").read_bytes()
    assert recorded == Path("undisturbed.cassette").read_bytes()


def test_a_sync_tells_of_days_that_it_fetched_again(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    backfill(SITE, "--days", 2)
    before = comparable_dump(Path("gsc.db"))
    change(f"UPDATE page_ledger SET data_state = 'all' WHERE data_date = '{LONG_DAY}'")
    fake._script.faults.append(Fault(ShiftedRows(5), data_date=LONG_DAY, start_row=25_000))
    result = run_cli("sync", "--db", "gsc.db")
    assert result.exit_code == 0
    assert "1 fetched again since rows moved meanwhile" in result.stdout
    assert comparable_dump(Path("gsc.db")) == before


@pytest.mark.parametrize(("change_by", "verdict"), [(-1, "below totals"), (1, "above totals")])
def test_only_google_knows_of_wrong_numbers(
    change_by: int, verdict: str, backfill: RunCli, run_cli: RunCli
) -> None:
    backfill(SITE, "--days", 2, "--dimensions", "country")
    change(f"UPDATE search_analytics_by_country SET clicks = clicks + {change_by} "
           f"WHERE row_number = 0 AND data_date = '{END}'")  # fmt: skip
    assert run_cli("verify", "--db", "gsc.db", "--offline").exit_code == 0
    result = run_cli("verify", "--db", "gsc.db", "--json")
    assert (result.exit_code, verdicts(result)["country"][-1]) == (1, verdict)


def test_offline_asks_nobody_and_needs_no_permission_to_write(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfill(SITE, "--days", 2)
    calls = len(fake.calls)
    monkeypatch.setenv("GSC_TRIO_API_ROOT", "https://searchconsole.googleapis.com")
    result = run_cli("verify", "--db", "gsc.db", "--offline", "--json")
    assert result.exit_code == 0
    assert verdicts(result) == {"page,query": ["consistent"] * 2}
    assert len(fake.calls) == calls


def test_rows_that_moved_between_pages_count_twice_in_the_ledger_and_are_no_defect(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    shifted = Fault(ShiftedRows(5), times=None, data_date=LONG_DAY, start_row=25_000)
    fake._script.faults.append(shifted)
    backfill(SITE, "--start", LONG_DAY, "--end", LONG_DAY)
    result = run_cli("verify", "--db", "gsc.db", "--json")
    assert result.exit_code == 0
    [day] = the_days(result)
    assert (day["rows_shifted"], day["rows_in_ledger"] - day["rows"]) == (5, 5)
    assert day["verdict"] == "complete"


def test_days_that_were_not_final_are_not_compared(backfill: RunCli, run_cli: RunCli) -> None:
    today = pacific_today()
    backfill(SITE, "--start", today, "--end", today, "--data-state", "all")
    [day] = the_days(run_cli("verify", "--db", "gsc.db", "--json"))
    assert (day["verdict"], day["total_clicks"]) == ("not final", None)


def test_a_site_that_fails_leaves_the_others_verified(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    backfill(OTHER, "--days", 2)
    backfill(SITE, "--days", 2, "--dimensions", "country")
    fake._by_site.pop(OTHER)
    result = run_cli("verify", "--db", "gsc.db", "--json")
    assert result.exit_code == 1
    other, site = json.loads(result.stdout)["datasets"]
    assert "does not have sufficient permission" in other["reason"]
    assert [day["verdict"] for day in other["days"]] == ["consistent"] * 2
    assert [day["verdict"] for day in site["days"]] == ["complete"] * 2
    assert (
        "totals are missing: https://other.example/" in run_cli("verify", "--db", "gsc.db").stdout
    )


def test_faults_on_the_way_are_retried(
    backfill: RunCli, run_cli: RunCli, fake: FakeSearchConsole
) -> None:
    backfill(SITE, "--days", 3)
    fake._script.faults.append(Fault(Refuse(503), times=2))
    result = run_cli("verify", "--db", "gsc.db")
    assert result.exit_code == 0


def test_days_can_be_chosen_and_those_older_than_16_months_have_no_totals(
    backfill: RunCli, run_cli: RunCli
) -> None:
    backfill(SITE, "--days", 3)
    gone = oldest_day(pacific_today()) - dt.timedelta(days=1)
    for table in ("page_ledger", "search_analytics_by_page_query"):
        change(f"UPDATE {table} SET data_date = '{gone}' WHERE data_date = '{END}'")
    result = run_cli("verify", "--db", "gsc.db", "--end", LONG_DAY - dt.timedelta(days=1), "--json")
    assert [day["verdict"] for day in the_days(result)] == ["consistent", "complete"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--db", "none.db"), "there is no database at none.db"),
        (("--db", "gsc.db", OTHER), f"gsc.db holds no '{OTHER}'; it holds {SITE}"),
        (("--db", "gsc.db", "--start", "2026-02-30"), "--start is '2026-02-30'"),
        (("--db", "gsc.db", "--start", "2026-02-02", "--end", "2026-02-01"), "is after the end"),
        (("--db", "gsc.db", "--api-root", "https://searchconsole.googleapis.com"), "not signed in"),
    ],
)
def test_wrong_usage_is_told_in_a_line(
    arguments: tuple[str, ...], message: str, backfill: RunCli, run_cli: RunCli
) -> None:
    backfill(SITE, "--days", 1)
    result = run_cli("verify", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
