"""Workers that die, stop and end, as real processes on a real Postgres: nothing is lost or doubled,
and no user is asked for faster than Google allows."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.test_processes import wait_until
from tests.shards.fleet import Layout, open_fleet


def test_a_killed_worker_is_taken_over(tmp_path: Path, postgres_address: str) -> None:
    with open_fleet(Layout(days=8, seconds_per_call=0.2), tmp_path, postgres_address) as fleet:
        assert fleet.enqueue() == {"team-0": "queued", "team-1": "queued"}
        with fleet.worker("first") as first:
            for _ in fleet.layout.names:
                first.wait_for(": begun, token 1")
            first.send(signal.SIGKILL)
        fleet.answer_at_once()
        with fleet.worker("second") as second:
            fleet.wait_until_complete(second)
            assert second.stop() == 0
        assert any("its worker is silent" in line for line in second.said)
        lines = fleet.board()
        assert {(line.status, line.worker) for line in lines.values()} == {("complete", "second")}
        assert all(line.token is not None and line.token >= 2 for line in lines.values())
        assert fleet.stored() == fleet.oracle()


def test_a_stopped_worker_that_wakes_up_does_no_harm(tmp_path: Path, postgres_address: str) -> None:
    layout = Layout(accounts=1, days=20, seconds_per_call=0.2)
    with open_fleet(layout, tmp_path, postgres_address) as fleet:
        fleet.enqueue()
        with fleet.worker("first") as first:
            first.wait_for(": begun, token 1")
            wait_until(lambda: bool(fleet.fake.calls))
            first.send(signal.SIGSTOP)
            fleet.answer_at_once()
            with fleet.worker("second") as second:
                fleet.wait_until_complete(second)
                stored, calls = fleet.stored(), len(fleet.fake.calls)
                first.send(signal.SIGCONT)
                first.wait_for("taken over by another worker")
                assert first.stop() == second.stop() == 0
        assert len(fleet.fake.calls) - calls <= layout.concurrency * layout.batch_size
        assert fleet.stored() == stored == fleet.oracle()
        assert fleet.board()["team-0"].worker == "second"


def test_the_quota_holds_over_a_take_over(tmp_path: Path, postgres_address: str) -> None:
    layout = Layout(accounts=1, sites=3, days=100, queries_per_minute=60, seconds_per_call=0.01)
    with open_fleet(layout, tmp_path, postgres_address) as fleet:
        fleet.enqueue()
        with fleet.worker("first") as first:
            wait_until(lambda: fleet.fake.quota.peak("user") == layout.queries_per_minute)
            first.send(signal.SIGKILL)
        with fleet.worker("second") as second:
            second.wait_for(": begun, token 2")
            with pytest.raises(AssertionError, match="never said 'complete'"):
                second.wait_for("complete", seconds=1.5)
            assert second.stop() == 0
        assert fleet.fake.quota.peak("user") == layout.queries_per_minute
        assert fleet.fake.quota.refused == 0
        assert fleet.board()["team-0"].queries == 0


def test_a_worker_that_is_to_end_gives_its_shards_back(
    tmp_path: Path, postgres_address: str
) -> None:
    layout = Layout(days=15, seconds_per_call=0.5, batch_size=2, silent_seconds=60.0)
    with open_fleet(layout, tmp_path, postgres_address) as fleet:
        fleet.enqueue()
        assert fleet.enqueue() == {"team-0": "queued before", "team-1": "queued before"}
        with fleet.worker("first", "--shards", "1") as first:
            first.wait_for(": begun, token 1")
            assert set(fleet.enqueue().values()) == {"running", "queued before"}
            assert {line.status for line in fleet.board().values()} == {"running", "queued"}
            assert first.stop() == 0
            first.wait_for(": interrupted, after")
        assert {line.status for line in fleet.board().values()} == {"queued"}
        fleet.answer_at_once()
        with fleet.worker("second", "--until-idle") as second:
            assert second.process.wait(60) == 0
        assert fleet.stored() == fleet.oracle()
        counts = {line.targets_done for line in fleet.board().values()}
        assert counts == {layout.sites}
