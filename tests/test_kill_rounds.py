"""kill -9 at random instants of a real run: nothing lost, doubled, or fetched again."""

from __future__ import annotations

from tests.soak.kill_rounds import run_rounds


def test_runs_that_are_killed_again_and_again_end_with_the_oracles_database() -> None:
    report = run_rounds(40)
    assert report.kills >= 40
    # Some kills came between an answer and its commit: the instants are worth testing.
    assert report.pages_fetched_twice > 0


def test_folders_of_parquet_files_stand_it_too() -> None:
    report = run_rounds(12, first_seed=1_000, store="parquet")
    assert report.kills >= 12
