"""A process that can die at any instant: from then on nothing it does has an effect.

What a process does to the world goes through its network and its store. Both ask it first whether
it is alive. So when it dies its tasks are cancelled, and whatever their `finally` blocks and
shielded scopes still try comes to nothing, as it does after ``kill -9``.
"""

from __future__ import annotations

import attrs
import httpx
import trio

from gsc_trio.machine_clock import Moment
from gsc_trio.testing.simulated_network import SimulatedNetwork


class ProcessDiedError(BaseException):
    """The process is dead. No handler for errors must catch it."""


@attrs.define(eq=False)
class SimulatedProcess:
    """One life of a program."""

    name: str
    is_dead: bool = False
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """What everything that it does runs in."""

    def kill(self) -> None:
        """Die now."""
        self.is_dead = True
        self.scope.cancel()

    def check_alive(self) -> None:
        """Let nothing out of a dead process.

        Raises:
            ProcessDiedError: it is dead.
        """
        if self.is_dead:
            raise ProcessDiedError(self.name)


@attrs.define(eq=False)
class MachineClocks:
    """The clocks that processes share."""

    boot: int = 0
    booted_at: float = 0.0
    wall_offset: float = 1_780_000_000.0

    def moment(self) -> Moment:
        """Now."""
        now = trio.current_time()
        return Moment(self.wall_offset + now, now - self.booted_at, f"boot {self.boot}")

    def reboot(self) -> None:
        """The machine was started anew."""
        self.boot += 1
        self.booted_at = trio.current_time()


@attrs.define(eq=False)
class DeathClock(trio.abc.Instrument):
    """Kills a process after so many steps of its scheduler: at any await there is.

    Args:
        process: which.
        steps: how many steps it lives.
    """

    process: SimulatedProcess
    steps: int

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count a step."""
        self.steps -= 1
        if self.steps == 0:
            self.process.kill()


@attrs.define(eq=False)
class ProcessTransport(httpx.AsyncBaseTransport):
    """A process's way into a network."""

    network: SimulatedNetwork
    process: SimulatedProcess

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, unless the process is dead."""
        self.process.check_alive()
        return await self.network.handle_async_request(request)
