"""``python -m gsc_trio.testing --seed 7`` replays the simulated world of a seed."""

from __future__ import annotations

import click

from gsc_trio.testing.promises import BrokenPromiseError
from gsc_trio.testing.scenario import draw_scenario
from gsc_trio.testing.world import simulate


@click.command("python -m gsc_trio.testing")
@click.option("--seed", type=int, required=True, metavar="N", help="What everything follows from.")
@click.option("--trace", "wants_trace", is_flag=True, help="Print what happened, line by line.")
def main(seed: int, wants_trace: bool) -> None:
    """Run one simulated world and check every promise."""
    click.echo(draw_scenario(seed))
    trace: list[str] = []
    try:
        report = simulate(seed, trace)
    except BrokenPromiseError as error:
        if wants_trace:
            click.echo("\n".join(trace))
        raise click.ClickException(str(error)) from None
    if wants_trace:
        click.echo("\n".join(trace))
    click.echo(report)


main()
