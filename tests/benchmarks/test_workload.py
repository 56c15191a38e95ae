"""What is fetched: the simulated properties, and cassettes of the user's own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from benchmarks.workload import PROPERTIES, Property, make_workload, read_workload
from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing import Cassette, RecordedRequest, make_cassette, write_cassette

DAY = dt.date(2026, 6, 30)
QUERY = SearchAnalyticsQuery("sc-domain:own.example", row_limit=10)


def recorded(*answers: tuple[dt.date, int, int, int], search_type: str = "web") -> Cassette:
    """A cassette of (day, start row, status, rows)."""
    return make_cassette(
        "recorded",
        "a test",
        [
            (
                RecordedRequest(
                    "sc-domain:own.example", search_type, ("page",), day, start_row, 10, "final"
                ),
                status,
                {},
                b"{}",
                rows,
            )
            for day, start_row, status, rows in answers
        ],
    )


def test_the_full_property_takes_three_calls_a_day(tmp_path: Path) -> None:
    workload = make_workload(PROPERTIES["full"], tmp_path, days=2)
    assert workload.days == [[25_000, 25_000, 0]] * 2
    assert (workload.calls, workload.rows) == (6, 100_000)
    assert str(workload) == "full: 2 days, 6 calls, 100,000 rows"


def test_a_simulated_workload_is_the_same_every_time(tmp_path: Path) -> None:
    tiny = Property("tiny", 20, distinct_days=2)
    (tmp_path / "other").mkdir()
    first, second = make_workload(tiny, tmp_path, 5), make_workload(tiny, tmp_path / "other", 5)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.end - first.start).days == 4
    assert first.label.startswith("simulated: ")
    assert "the rows of 2 days over and over" in first.label


def test_a_cassette_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "own.cassette"
    earlier = DAY - dt.timedelta(days=1)
    write_cassette(recorded((DAY, 0, 200, 10), (DAY, 10, 200, 3), (earlier, 0, 200, 4)), path)
    workload = read_workload(path)
    assert (workload.name, workload.days) == ("own", [[4], [10, 3]])
    assert (workload.start, workload.end) == (earlier, DAY)
    assert workload.label == "recorded: a test"


@pytest.mark.parametrize(
    ("cassette", "words"),
    [
        (recorded((DAY, 0, 200, 10)), "no answer for 2026-06-30 from row 10"),
        (recorded((DAY, 0, 500, 0)), "an answer with status 500"),
        (recorded((DAY, 0, 200, 1), (DAY - dt.timedelta(days=2), 0, 200, 1)), "for 2026-06-29"),
    ],
)
def test_a_cassette_that_no_backfill_could_finish_is_refused(
    tmp_path: Path, cassette: Cassette, words: str
) -> None:
    write_cassette(cassette, tmp_path / "own.cassette")
    with pytest.raises(UsageError, match=words):
        read_workload(tmp_path / "own.cassette")


def test_a_cassette_of_several_queries_is_refused(tmp_path: Path) -> None:
    web, image = recorded((DAY, 0, 200, 1)), recorded((DAY, 0, 200, 1), search_type="image")
    both = Cassette("recorded", "a test", {**web.answers, **image.answers})
    write_cassette(both, tmp_path / "own.cassette")
    with pytest.raises(UsageError, match="2 different queries"):
        read_workload(tmp_path / "own.cassette")
