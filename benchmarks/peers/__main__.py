"""gsc-trio beside its peers: one server, one latency, the same rows, in turns, in one run.

Peers: `searchconsole` from PyPI; Google's Python client in a loop, with its batches, and in a pool
of threads as wide as gsc-trio; asyncio with aiohttp and aiolimiter, as wide. Each writes to SQLite
by its own usual means, and every row that it stored is compared with what the server holds: a
wrong answer is a failure. Width is the number of HTTP requests in flight.

Latency is a law for everyone: with plain queries, or with batches whose parts are answered one
after another, nobody can be faster than all calls' latency ÷ width. That bound is printed, and
with it how many times as fast as the best peer anybody could be. Where that is 2 or more, gsc-trio
must be twice as fast as the best peer, or the exit code is 1.

Needs the extra libraries of `pip install 'gsc-trio[peers]'`; peers without theirs are left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import click
import trio

from benchmarks.latency_model import LatencyModel
from benchmarks.machine import describe_machine
from benchmarks.overhead import print_table, write_json
from benchmarks.peers.property import make_property
from benchmarks.peers.session import NAMES, OTHERS, OURS, Comparison, Session, installed_peers
from benchmarks.program import run_program
from benchmarks.workload import PROPERTIES
from gsc_trio.cli.failures import COMPLETE, FAILED

MUST = 2.0
"""How many times as fast as the best peer gsc-trio must be where that is possible."""


@attrs.frozen
class Verdict:
    """gsc-trio against the best peer."""

    ratio: float
    """How many times as fast as the best peer."""
    possible: float
    """How many times as fast latency lets anyone be."""

    @property
    def is_good(self) -> bool:
        """Whether it is as fast as it must be, or latency does not let anyone be."""
        return self.ratio >= MUST or self.possible < MUST

    def __str__(self) -> str:
        text = f"{self.ratio:.2f}× as fast as the best peer; latency lets nobody be more than "
        text += f"{self.possible:.1f}×"
        if not self.is_good:
            return f"{text}: BELOW {MUST:g}×"
        return text if self.ratio >= MUST else f"{text}, so {MUST:g}× is impossible here"


def verdict_on(comparison: Comparison) -> Verdict | None:
    """Judge; None if there is no one to compare with."""
    ours, peer = comparison.best(OURS), comparison.best(OTHERS)
    if ours is None or peer is None:
        return None
    bound = min(comparison.latency_bound, comparison.batch_bound)
    return Verdict(peer.median / ours.median, peer.median / bound if bound else float("inf"))


def print_comparison(comparison: Comparison) -> None:
    """A table, and what it means."""
    ours = comparison.best(OURS)
    click.echo(f"\n{comparison.workload}, width {comparison.width}\n  {comparison.model}")
    print_table(
        ["peer", "in flight", "seconds", "rows/s", "CPU s", "gsc-trio is"],
        [
            (
                figure.title,
                figure.width,
                f"{figure.median:.2f}",
                round(figure.rows / figure.median),
                f"{figure.cpu_seconds:.2f}",
                f"{figure.median / ours.median:.2f}×" if ours else "",
            )
            for figure in sorted(comparison.figures, key=lambda figure: -figure.median)
        ],
    )
    click.echo(
        f"  latency alone: {comparison.latency_bound:.2f} s with plain queries, "
        f"{comparison.batch_bound:.2f} s with batches"
    )
    verdict = verdict_on(comparison)
    if verdict is not None:
        click.echo(f"  {verdict}")


async def measure_all(
    session: Session, names: Sequence[str], model: LatencyModel
) -> list[Comparison]:
    """Measure properties, and print each as it is done."""
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="gsc-trio-cassettes-") as folder:
        for name in names:
            held = await trio.to_thread.run_sync(make_property, PROPERTIES[name], Path(folder))
            found = await session.compare(held, model)
            for comparison in found:
                print_comparison(comparison)
            comparisons += found
    return comparisons


@click.command("python -m benchmarks.peers", help=__doc__)
@click.option("--fast/--rigorous", "is_fast", default=True, show_default=True,
    help="The small property at width 5 and a fifth of the latency, in under three minutes; or "
    "both at widths 3, 5 and 10 and full latency, in about half an hour.")  # fmt: skip
@click.option("--property", "names", multiple=True, type=click.Choice(["small", "middle"]),
    help="Only this property; may be given more than once.")  # fmt: skip
@click.option("--peer", "peer_names", multiple=True, type=click.Choice(NAMES),
    help="Only this peer; may be given more than once.")  # fmt: skip
@click.option("--width", "widths", multiple=True, type=click.IntRange(2, 100), metavar="N",
    help="Only so many requests in flight; may be given more than once.")  # fmt: skip
@click.option("--latency-scale", type=click.FloatRange(0, 10), metavar="X",
    help="Multiply latency by this; 1 is as slow as Google.")  # fmt: skip
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True,
    help="How often; runs of more than 8 seconds only once.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE", help="Write the results to a file, too.")  # fmt: skip
def main(
    *,
    is_fast: bool,
    names: tuple[str, ...],
    peer_names: tuple[str, ...],
    widths: tuple[int, ...],
    latency_scale: float | None,
    rounds: int,
    json_path: Path | None,
) -> int:
    """Measure, and judge."""
    machine = describe_machine()
    click.echo(", ".join(f"{name} {value}" for name, value in machine.items()) + "\n")
    peers = list(installed_peers(peer_names or NAMES))
    scale = latency_scale if latency_scale is not None else (0.2 if is_fast else 1.0)
    widths = widths or ((5,) if is_fast else (3, 5, 10))
    names = names or (("small",) if is_fast else ("small", "middle"))
    session = Session(peers, widths, rounds)
    comparisons = trio.run(measure_all, session, names, LatencyModel(scale=scale))
    if json_path is not None:
        found = [attrs.asdict(each) for each in comparisons]
        write_json(json_path, {"comparisons": found})
    verdicts = [verdict_on(comparison) for comparison in comparisons]
    return FAILED if any(verdict and not verdict.is_good for verdict in verdicts) else COMPLETE


if __name__ == "__main__":
    run_program(main)
