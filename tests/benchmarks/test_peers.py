"""`benchmarks.peers` in small: every peer copies, every row is compared, the verdict is fair."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import attrs
import pytest
import trio
from click.testing import CliRunner

from benchmarks.latency_model import LatencyModel
from benchmarks.measurement import WrongAnswerError
from benchmarks.peers import __main__ as command_line
from benchmarks.peers import google_loop, session
from benchmarks.peers.__main__ import verdict_on
from benchmarks.peers.peer import PeerTask
from benchmarks.peers.property import PeerProperty, make_property, stored_row
from benchmarks.peers.session import (
    NAMES,
    Comparison,
    PeerFigure,
    Session,
    check,
    installed_peers,
)
from benchmarks.workload import PROPERTIES, Property

INSTALLED = list(installed_peers(NAMES))
LOOP = next(installed for installed in INSTALLED if installed.name == "google_loop")


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> PeerProperty:
    return make_property(
        Property("tiny", 30, distinct_days=4), tmp_path_factory.mktemp("peers"), days=4
    )


def figure(name: str, seconds: list[float]) -> PeerFigure:
    return PeerFigure(name, name, width=5, seconds=seconds, cpu_seconds=1.0, rows=100)


def comparison(*figures: PeerFigure, bound: float = 1.0) -> Comparison:
    return Comparison("small", "model", 5, bound, bound, list(figures))


def test_a_task_asks_for_the_newest_day_first(held: PeerProperty) -> None:
    workload = held.workload
    task = PeerTask("http://x", "run.db", "site", ("page",), workload.start, workload.end, width=1)
    days = list(task.days())
    assert (days[0], days[-1], len(days)) == (workload.end, workload.start, 4)
    assert task.body(days[0], 25_000)["startRow"] == 25_000


def test_peers_whose_libraries_come_with_the_development_setup_are_there() -> None:
    names = {installed.name for installed in INSTALLED}
    assert names >= {"google_loop", "google_threads", "google_batch", "gsc_trio_batches"}


def test_every_installed_peer_copies_every_row(held: PeerProperty) -> None:
    everyone = Session(INSTALLED, widths=(2,), rounds=1)
    one_by_one, parallel = trio.run(everyone.compare, held, LatencyModel(scale=0))
    for found in (one_by_one, parallel):
        assert [each.name for each in found.figures] == [each.name for each in INSTALLED]
        assert all(each.median > 0 and each.rows == held.workload.rows for each in found.figures)
    assert one_by_one.best(["google_loop"]) is parallel.best(["google_loop"])
    assert one_by_one.best(["google_batch"]) is not parallel.best(["google_batch"])


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM search_analytics WHERE rowid = 1",
        "UPDATE search_analytics SET clicks = clicks + 1 WHERE rowid = 1",
        "DELETE FROM search_analytics WHERE date = (SELECT MAX(date) FROM search_analytics)",
        "INSERT INTO search_analytics VALUES ('1999-01-01', 'p', 'q', 1, 1, 1)",
    ],
)
def test_a_wrong_answer_is_a_failure(change: str, held: PeerProperty, tmp_path: Path) -> None:
    database = tmp_path / "run.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(google_loop.CREATE)
        rows = [row for rows in held.expected.values() for row in rows.elements()]
        connection.executemany(google_loop.INSERT, rows)
        connection.commit()
        check(LOOP.peer, database, held)
        connection.execute(change)
        connection.commit()
    with pytest.raises(WrongAnswerError, match="google-api-python-client, a loop stored"):
        check(LOOP.peer, database, held)


def test_a_peer_that_fails_is_told_with_its_error(held: PeerProperty) -> None:
    elsewhere = attrs.evolve(
        held.workload, query=attrs.evolve(held.workload.query, site_url="sc-domain:other.example")
    )
    loop = Session([LOOP], widths=(2,), rounds=1)
    with pytest.RaisesGroup(
        pytest.RaisesExc(WrongAnswerError, match="sufficient permission"), flatten_subgroups=True
    ):
        trio.run(loop.compare, attrs.evolve(held, workload=elsewhere), LatencyModel(scale=0))


def test_a_peer_that_hangs_is_ended_and_told(
    held: PeerProperty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_SECONDS", 0.01)
    with pytest.raises(WrongAnswerError, match=r"a loop did not end within 0\.01 seconds"):
        trio.run(session.measure, LOOP, held, "http://127.0.0.1:1", 2)


def test_positions_are_compared_as_far_as_they_can_be_told() -> None:
    assert stored_row("d", "p", "q", 1, 2, 3.00000001) == stored_row("d", "p", "q", 1.0, 2.0, 3.0)
    assert stored_row("d", "p", "q", 0, 0, None) == stored_row("d", "p", "q", 0, 0, 7.0)
    assert stored_row("d", "p", "q", 1, 2, 3.0) != stored_row("d", "p", "q", 1, 2, 3.1)


@pytest.mark.parametrize(
    ("ours", "peer", "bound", "ratio", "is_good"),
    [
        (1.0, 4.2, 1.0, 4.2, True),
        (3.0, 4.0, 1.0, 4 / 3, False),
        (3.8, 4.0, 3.7, 4 / 3.8, True),  # latency lets nobody be twice as fast
    ],
)
def test_the_verdict_knows_what_latency_allows(
    ours: float, peer: float, bound: float, ratio: float, is_good: bool
) -> None:
    found = comparison(
        figure("google_threads", [9.0, peer, 0.1]),
        figure("google_loop", [99.0]),
        figure("gsc_trio_single", [ours]),
        bound=bound,
    )
    verdict = verdict_on(found)
    assert verdict is not None
    assert verdict.ratio == pytest.approx(ratio)
    assert verdict.is_good is is_good
    assert ("BELOW" in str(verdict)) is not is_good


def test_there_is_no_verdict_without_anyone_to_compare_with() -> None:
    assert verdict_on(comparison(figure("gsc_trio_single", [1.0]))) is None


def test_a_run_prints_its_tables_and_writes_them_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROPERTIES, "small", Property("tiny", 30, distinct_days=4))
    path = tmp_path / "result.json"
    options = ["--peer", "google_batch", "--peer", "gsc_trio_batches", "--rounds", "1"]
    options += ["--latency-scale", "0", "--json", str(path)]
    result = CliRunner().invoke(command_line.main, options, standalone_mode=False)
    assert result.exception is None
    assert "150 days, 150 calls" in result.output
    written = json.loads(path.read_text())["comparisons"]
    assert [len(each["figures"]) for each in written] == [2, 2]
    assert ("BELOW" in result.output) is (result.return_value != 0)
