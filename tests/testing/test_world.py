"""The simulated world: thousands of seeds, each checked against every promise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import attrs
import pytest

from gsc_trio import quota_journal
from gsc_trio.coordinator import Coordinator
from gsc_trio.testing import BrokenPromiseError, simulate
from gsc_trio.testing.scenario import draw_scenario
from tests.soak.worlds import CHUNK, simulate_chunk, simulate_many

SEEDS = 1_000
"""The soak takes those after 2,000."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    report = simulate_chunk(first, first + CHUNK)
    assert not report.broken, "\n".join(report.broken)
    assert report.worlds == CHUNK


def test_the_soak_takes_every_seed_once_and_in_order() -> None:
    reports = list(simulate_many(70, seeds=5, chunk=4))
    assert [report.worlds for report in reports] == [4, 1]
    assert reports[0] == simulate_chunk(70, 74)


@pytest.mark.parametrize("seed", [2, 8, 202])
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)
    assert len(first.trace) > 20
    assert first.trace == second.trace


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    script = "from gsc_trio.testing import simulate; print(*[simulate(n).digest for n in (3, 202)])"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {f"{simulate(3).digest} {simulate(202).digest}\n"}


def test_different_seeds_give_different_worlds() -> None:
    assert len({simulate(seed).digest for seed in range(20)}) == 20


def test_the_worlds_are_hard() -> None:
    """What the seeds of this suite draw, lest a slip makes them all easy."""
    scenarios = [draw_scenario(seed) for seed in range(SEEDS)]
    lives = [life for scenario in scenarios for life in scenario.lives]
    assert sum(life.dies_after_steps is not None for life in lives) > SEEDS / 2
    assert sum(life.halts_after_seconds is not None for life in lives) > SEEDS / 4
    assert sum(life.reboots for life in lives) > SEEDS / 20
    assert sum(bool(scenario.concurrency_changes) for scenario in scenarios) > SEEDS / 4
    for name in attrs.fields_dict(type(scenarios[0])):
        if name.endswith("_chance"):
            assert sum(getattr(each, name) > 0 for each in scenarios) > SEEDS / 8, name
    report = simulate_chunk(0, 20)
    assert report.deaths > 6
    assert report.halts > 6


def first_broken_promise(seeds: Iterable[int]) -> tuple[int, str]:
    for seed in seeds:
        try:
            simulate(seed)
        except BrokenPromiseError as error:
            return seed, str(error)
    raise AssertionError("no seed breaks a promise")


def test_a_broken_promise_prints_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(_: Any) -> None:
        """A restart that knows of no grants."""

    monkeypatch.setattr(quota_journal.QuotaJournal, "restore", nothing)
    seed, message = first_broken_promise(range(200))
    assert " queries within " in message
    assert message.endswith(f"\nreplay: python -m gsc_trio.testing --seed {seed}")


def test_a_hang_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Coordinator, "_wake_workers", lambda _: None)
    seed = next(each for each in range(100) if draw_scenario(each).settings.initial_concurrency > 1)
    with pytest.raises(BrokenPromiseError, match="TooSlowError"):
        simulate(seed)


def test_a_seed_can_be_replayed_from_the_command_line() -> None:
    command = [sys.executable, "-m", "gsc_trio.testing", "--seed", "3", "--trace"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Scenario(seed=3" in result.stdout
    assert simulate(3).trace[-1] in result.stdout
