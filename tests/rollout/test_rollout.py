"""A rollout passes when all is well, and stops at the gate that a measured run breaks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import trio

from gsc_trio.errors import UsageError
from gsc_trio.halt import HaltSwitch
from gsc_trio.model import Halt
from gsc_trio.rollout.comparison import DayDifference
from gsc_trio.rollout.findings import Findings
from gsc_trio.rollout.gates import failed_names
from gsc_trio.rollout.plan import BASELINE, FIVE, STAGES, THREE, RolloutRequest
from gsc_trio.rollout.record import status
from gsc_trio.store.base import RecordedRun
from gsc_trio.store.dump import comparable_dump
from gsc_trio.store.sqlite import open_sqlite_store
from gsc_trio.telemetry.events import Event, PageCommitted
from gsc_trio.testing import Fault, Latency, Quota, Refuse, ShiftedRows
from tests.rollout.conftest import DAYS, SITE, Rehearse, day, slow_fake


def reached(findings: Findings) -> list[str]:
    return list(findings.measurements)


async def runs_in(database: Path) -> Sequence[RecordedRun]:
    async with open_sqlite_store(database, read_only=True) as store:
        return await store.runs()


def test_all_gates_pass_and_every_database_holds_the_same(rehearse: Rehearse) -> None:
    fake = slow_fake()
    findings = rehearse(fake)
    assert status(findings) == "passed"
    assert reached(findings) == [stage.name for stage in STAGES]
    dumps = {comparable_dump(findings.request.database_of(stage)) for stage in STAGES}
    assert len(dumps) == 1
    assert 2.7 < findings.speed_up(THREE) <= findings.possible_speed_up(THREE)
    assert 4.0 < findings.speed_up(FIVE) <= findings.possible_speed_up(FIVE)
    assert findings.drill is not None
    assert findings.drill.halt_seconds is not None
    assert findings.drill.halt_seconds < 5
    assert findings.drill.rollback_seconds is not None
    assert 0 < findings.drill.rollback_seconds < 5
    for stage, records in zip(STAGES, [1, 1, 1, 2], strict=True):
        runs = trio.run(runs_in, findings.request.database_of(stage))
        assert [run.status for run in runs] == ["complete", "halted"][:records]
    # What was said to be the cost is what it cost, but for the day of two pages.
    assert len(fake.calls) + 1 <= findings.request.queries(1) + len(STAGES)


def test_a_sampled_baseline_costs_less_and_is_scaled_to_all_days(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake(), days=60, baseline_days=30)
    assert status(findings) == "passed"
    days = [findings.measurements[stage.name].days for stage in STAGES]
    assert days == [30, 60, 30, 30]
    assert 2.7 < findings.speed_up(THREE) < 3.2
    assert findings.comparisons[THREE.name].days == 30


@pytest.mark.parametrize("stage", [3, 5])
def test_a_concurrent_run_that_is_slow_fails_the_speed_gate(rehearse: Rehearse, stage: int) -> None:
    fake = slow_fake()

    def tell(text: str) -> None:
        if text.startswith(f"Stage {stage}"):
            fake.latency = Latency(scale=1.5)

    findings = rehearse(fake, tell=tell)
    assert failed_names(findings) == [f"concurrency-{stage}/speed-up"]
    assert reached(findings)[-1] == f"concurrency-{stage}"
    assert status(findings) == "failed"


def test_max_in_flight_that_chokes_the_workers_is_refused_before_a_query_is_sent(
    rehearse: Rehearse,
) -> None:
    fake = slow_fake()
    findings = rehearse(fake, max_in_flight=10)
    assert failed_names(findings) == ["preflight/settings"]
    assert not fake.calls


def test_a_row_that_is_lost_fails_the_gates_of_rows_and_names_the_day(
    rehearse: Rehearse, request_for: Callable[..., RolloutRequest]
) -> None:
    def tell(text: str) -> None:
        if text.startswith("Stage 3"):
            with closing(sqlite3.connect(request_for().database_of(BASELINE))) as connection:
                connection.execute(
                    "DELETE FROM search_analytics_by_page_query "
                    "WHERE data_date = ? AND row_number = 3",
                    (day(2).isoformat(),),
                )
                connection.commit()

    findings = rehearse(slow_fake(), tell=tell)
    assert failed_names(findings) == ["concurrency-3/rows-per-day", "concurrency-3/same-dump"]
    [difference] = findings.comparisons[THREE.name].differences
    assert difference == DayDifference(
        day(2), difference.rows, difference.rows - 1, is_order_only=False
    )
    assert reached(findings) == [BASELINE.name, THREE.name]


def test_rows_that_google_gave_in_another_order_fail_the_gate_of_the_dump_and_are_told_apart(
    rehearse: Rehearse,
) -> None:
    # The second page of the day repeats the last row of the first, which then goes; so often that
    # the day is taken as it is.
    shifted = Fault(ShiftedRows(1), times=3, data_date=day(1), start_row=20, skip=1)
    findings = rehearse(slow_fake(faults=[shifted]))
    # It takes time, too.
    assert set(failed_names(findings)) - {"concurrency-3/speed-up"} == {"concurrency-3/same-dump"}
    [difference] = findings.comparisons[THREE.name].differences
    assert difference == DayDifference(day(1), 30, 30, is_order_only=True)


def test_a_quota_that_google_finds_exceeded_fails_its_gate(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake(quota=Quota(queries_per_minute=30)), days=40)
    assert failed_names(findings) == ["baseline/quota-exceeded"]
    run = findings.measurements[BASELINE.name]
    assert (run.status, run.days) == ("complete", DAYS)
    assert run.queries_refused > 0
    assert reached(findings) == [BASELINE.name]


def test_a_run_that_google_refuses_fails_the_gate_of_completeness(rehearse: Rehearse) -> None:
    gone = Fault(Refuse(403, "forbidden", "no longer yours"), data_date=day(4), skip=1)
    findings = rehearse(slow_fake(faults=[gone]))
    assert failed_names(findings) == ["concurrency-3/complete"]
    assert "no longer yours" in findings.measurements[THREE.name].reason


def test_the_quota_of_one_stage_does_not_slow_the_next(rehearse: Rehearse) -> None:
    told: list[str] = []
    # A stage fits, with the list of sites and the probe; two do not.
    fake = slow_fake(quota=Quota(queries_per_minute=60))
    findings = rehearse(fake, tell=told.append, queries_per_minute=60)
    assert status(findings) == "passed"
    assert sum(line.startswith("waiting for 60 s") for line in told) == 3
    assert fake.quota.refused == 0


@pytest.mark.parametrize(
    ("stage", "pages"), [("baseline", 10), ("concurrency-3", 10), ("drill", 20)]
)
def test_an_interruption_stops_the_stage_and_leaves_valid_databases(
    rehearse: Rehearse, stage: str, pages: int
) -> None:
    interruption = HaltSwitch()
    begun: list[str] = []

    class InterruptInMidRun:
        committed = 0

        def handle(self, event: Event) -> None:
            if isinstance(event, PageCommitted) and any(stage in line for line in begun):
                self.committed += 1
                if self.committed == pages:
                    interruption.request(Halt("interrupted by SIGINT", status="interrupted"))

    names = {"gsc.db": "concurrency-3"}

    def tell(text: str) -> None:
        if " days into " in text:
            name = Path(text.split(" days into ")[1]).name
            begun.append(names.get(name, name))

    findings = rehearse(
        slow_fake(), interruption=interruption, instrument=InterruptInMidRun(), tell=tell
    )
    assert status(findings) == "interrupted"
    assert failed_names(findings) == []
    assert reached(findings)[-1] == stage
    run = findings.measurements[stage]
    assert run.status == "interrupted"
    assert pages <= run.pages < DAYS
    dump = comparable_dump(findings.request.database_of(STAGES[len(reached(findings)) - 1]))
    assert dump.count('INSERT INTO "page_ledger"') == run.pages


def test_an_interruption_during_the_preflight_spends_nothing_more(rehearse: Rehearse) -> None:
    interruption = HaltSwitch()
    fake = slow_fake()

    def tell(text: str) -> None:
        if "preflight/clock" in text:
            interruption.request(Halt("interrupted by SIGINT", status="interrupted"))

    findings = rehearse(fake, interruption=interruption, tell=tell)
    assert status(findings) == "interrupted"
    assert not findings.has_begun
    assert not fake.calls
    assert not findings.request.folder.exists()


def test_days_that_are_stored_already_are_refused(
    rehearse: Rehearse, request_for: Callable[..., RolloutRequest]
) -> None:
    assert status(rehearse(slow_fake())) == "passed"
    fake = slow_fake()
    findings = rehearse(fake)
    assert failed_names(findings) == ["preflight/database"]
    assert f"holds {DAYS} of these days already" in findings.checks[2].text
    assert not fake.calls


def test_a_database_of_a_newer_version_fails_the_preflight(
    rehearse: Rehearse, request_for: Callable[..., RolloutRequest]
) -> None:
    request_for().database.write_bytes(b"not a database, but long enough to be one" * 100)
    fake = slow_fake()
    findings = rehearse(fake)
    assert failed_names(findings) == ["preflight/database"]
    assert "is not a SQLite database" in findings.checks[2].text


def test_a_property_that_the_account_does_not_see_fails_the_preflight(rehearse: Rehearse) -> None:
    fake = slow_fake()
    fake.properties = []
    fake.__attrs_post_init__()
    findings = rehearse(fake)
    assert failed_names(findings) == ["preflight/access"]
    assert f"does not see {SITE}; it sees no property at all" in findings.checks[-1].text


def test_a_token_that_is_refused_fails_the_preflight(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake(access_tokens=frozenset({"right"})), access_token="wrong")
    assert failed_names(findings) == ["preflight/access"]
    assert "401" in findings.checks[-1].text


def test_a_query_that_is_refused_fails_the_preflight(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake(faults=[Fault(Refuse(400, "invalid", "no such dimension"))]))
    assert failed_names(findings) == ["preflight/query"]
    assert "no such dimension" in findings.checks[-2].text


def test_a_quota_above_googles_fails_the_preflight(rehearse: Rehearse) -> None:
    findings = rehearse(slow_fake(), queries_per_minute=2_400)
    assert failed_names(findings) == ["preflight/quota"]


def test_too_few_days_show_nothing(request_for: Callable[..., RolloutRequest]) -> None:
    with pytest.raises(UsageError, match="a rollout of 19 days shows nothing: use 20 or more"):
        request_for(days=19)
    with pytest.raises(UsageError, match="a baseline of 41 days: use 20 to 40"):
        request_for(days=40, baseline_days=41)
