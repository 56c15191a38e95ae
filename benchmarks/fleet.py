"""A fleet in virtual time: 5,000 properties of 480 days, 33 users, 8 machines with trouble.

Machines are killed, or stopped for longer than a lease lasts, and others take over. What is real
and what is simulated is in `gsc_trio.testing.fleet`: limiter, journal, coordinators and workers are
real; Google, network and database are not, and no processor time is counted.

Must be: every day is there, no page was committed twice, no query was over a limit in any 60
seconds, and 95 % of the project's limit are used while all have work. Exits with 1 otherwise.
"""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import click

from benchmarks.overhead import finish, write_json
from gsc_trio.testing.fleet import FleetReport, FleetScenario, run_fleet

MUST_USE = 0.95


def judge(scenario: FleetScenario, report: FleetReport) -> list[str]:
    """What is not as it must be."""
    faults = []
    if report.wrong_days:
        faults.append(f"{report.wrong_days:,} days are not as they should be")
    if report.committed_again:
        faults.append(f"{report.committed_again:,} pages were committed twice")
    if report.refused:
        faults.append(f"{report.refused:,} queries were over a limit")
    for name, peak, limit in (
        ("user", report.peak_user, scenario.queries_per_minute),
        ("site", report.peak_site, scenario.queries_per_minute),
        ("project", report.peak_project, scenario.project_queries_per_minute),
    ):
        if peak > limit:
            faults.append(f"{peak:,} queries of a {name} in 60 seconds, the limit is {limit:,}")
    if report.project_use < MUST_USE:
        faults.append(f"only {report.project_use:.1%} of the project's limit were used")
    return faults


@click.command(help=__doc__)
@click.option("--properties", type=click.IntRange(1), default=5_000, show_default=True)
@click.option("--days", type=click.IntRange(1, 480), default=480, show_default=True)
@click.option("--kills", type=click.IntRange(0), default=4, show_default=True,
    help="How many machines are killed.")  # fmt: skip
@click.option("--stops", type=click.IntRange(0), default=4, show_default=True,
    help="How many are stopped for a minute and a half, and go on.")  # fmt: skip
@click.option("--one-by-one", is_flag=True,
    help="Google answers a batch's queries one after another, not side by side; this takes six "
    "times as long.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the results to a file, too.")  # fmt: skip
def main(
    properties: int,
    days: int,
    kills: int,
    stops: int,
    one_by_one: bool,
    seed: int,
    json_path: Path | None,
) -> None:
    """Run it, and judge."""
    scenario = FleetScenario(
        properties=properties,
        days=days,
        kills=kills,
        stops=stops,
        parallel_parts=not one_by_one,
        seed=seed,
    )
    began = time.perf_counter()
    report = run_fleet(scenario)
    seconds = time.perf_counter() - began
    click.echo(
        f"{properties:,} properties × {days} days, {scenario.users} users, {scenario.machines} "
        f"machines, {kills} kills, {stops} stops: {report.virtual_minutes:.1f} minutes in "
        f"{seconds:.0f} s"
    )
    for name, value in attrs.asdict(report).items():
        text = f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
        click.echo(f"  {name.replace('_', ' '):<16}{text:>12}")
    faults = judge(scenario, report)
    if json_path is not None:
        results = {
            "scenario": attrs.asdict(scenario),
            "report": attrs.asdict(report),
            "seconds": seconds,
            "faults": faults,
        }
        write_json(json_path, results)
    finish(faults)


if __name__ == "__main__":
    main()
