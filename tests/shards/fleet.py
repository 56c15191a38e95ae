"""Machines for tests: worker processes that share a Postgres database and ask one fake.

Every account is a service account of its own, so the fake counts by user across processes, whatever
tokens they have. What the database must hold in the end is what one sequential sync brings into
SQLite.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO

import attrs
import psycopg
from click.testing import CliRunner
from psycopg.types.string import TextLoader

from gsc_trio.cli import main
from gsc_trio.shards.board import ShardLine, look
from gsc_trio.store.connection import open_connection
from gsc_trio.store.postgres.address import read_address
from gsc_trio.testing import FakeOAuthServer, FakeSearchConsole, Latency, Quota, SimulatedProperty
from tests.processes import running
from tests.soak.kill_rounds import served
from tests.store.databases import Rows, content

WAIT_SECONDS = 60.0
SILENT_SECONDS = 2.0
UNLIMITED = 1_000_000


@attrs.frozen
class Layout:
    """What there is to fetch, and how fast."""

    accounts: int = 2
    sites: int = 2
    """Of each account."""
    days: int = 20
    rows_per_day: int = 30
    seconds_per_call: float = 0.02
    queries_per_minute: int = UNLIMITED
    concurrency: int = 2
    batch_size: int = 5
    silent_seconds: float = SILENT_SECONDS

    @property
    def names(self) -> list[str]:
        """The accounts."""
        return [f"team-{number}" for number in range(self.accounts)]

    def sites_of(self, account: str) -> list[str]:
        """The properties that an account asks for."""
        return [f"sc-domain:{account}-{number}.example" for number in range(self.sites)]

    def settings_file(self) -> str:
        """What all machines have."""
        lines = [
            f"max_concurrency = {self.concurrency}",
            f"batch_size = {self.batch_size}",
            f"queries_per_minute = {self.queries_per_minute}",
            f"project_queries_per_minute = {self.queries_per_minute * self.accounts}",
        ]
        for name in self.names:
            sites = ", ".join(f'"{site}"' for site in self.sites_of(name))
            lines += ["[[sync]]", f"sites = [{sites}]", f'account = "{name}"']
            lines += [f"days = {self.days}"]
        return "\n".join(lines) + "\n"

    def properties(self) -> list[SimulatedProperty]:
        """What the server holds."""
        return [
            SimulatedProperty(site, seed=number, rows_per_day=self.rows_per_day)
            for number, site in enumerate(
                site for name in self.names for site in self.sites_of(name)
            )
        ]


@attrs.define(eq=False)
class WorkerProcess:
    """A worker, seen from outside."""

    name: str
    process: subprocess.Popen[str]
    lines: queue.SimpleQueue[str] = attrs.field(factory=queue.SimpleQueue)
    said: list[str] = attrs.field(factory=list)

    def wait_for(self, words: str, *, seconds: float = WAIT_SECONDS) -> str:
        """The next line with these words in it."""
        while True:
            try:
                line = self.lines.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"{self.name} never said {words!r} but {self.said}") from None
            self.said.append(line)
            if words in line:
                return line

    def said_last(self) -> list[str]:
        """What it said that nobody has waited for."""
        while not self.lines.empty():
            self.said.append(self.lines.get())
        return self.said[-20:]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Have it end in an orderly way; gives its exit code."""
        self.send(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)

    def read(self, stream: IO[str]) -> None:
        """Take what it says; called in a thread."""
        with suppress(ValueError):  # closed by the test's end
            for line in stream:
                self.lines.put(line.rstrip())


@attrs.define(eq=False)
class Fleet:
    """A database, a fake, a settings file, and as many workers as are started."""

    layout: Layout
    folder: Path
    database: str
    fake: FakeSearchConsole
    environment: Mapping[str, str]

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "gsc-trio.toml"

    def run(self, *arguments: str) -> str:
        """Run a command in this process; it must succeed."""
        result = CliRunner(env=dict(self.environment)).invoke(main, list(arguments))
        assert result.exit_code == 0, result.output
        return result.stdout

    def enqueue(self, *names: str) -> dict[str, str]:
        """What became of each shard."""
        arguments = ("enqueue", *names, "--db", self.database, "--config", str(self.config))
        outcomes: dict[str, str] = json.loads(self.run(*arguments, "--json"))
        return outcomes

    def board(self) -> dict[str, ShardLine]:
        """What is told of each shard."""
        lines = look(read_address(self.database), self.layout.silent_seconds)
        return {line.shard: line for line in lines}

    @contextmanager
    def worker(self, name: str, *options: str) -> Iterator[WorkerProcess]:
        """A worker process, for as long as the body runs."""
        arguments = ["workers", "start", "--db", self.database, "--config", str(self.config)]
        silent_seconds = str(self.layout.silent_seconds)
        arguments += ["--name", name, "--silent-seconds", silent_seconds, *options]
        command = [sys.executable, "-m", "gsc_trio.cli", *arguments]
        environment = {**os.environ, **self.environment}
        with running(
            command, env=environment, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            worker = WorkerProcess(name, process)
            threading.Thread(target=worker.read, args=[process.stderr], daemon=True).start()
            yield worker

    def answer_at_once(self) -> None:
        """Have the server take no time from now on."""
        self.fake.latency = Latency(scale=0)

    def stored(self) -> dict[str, Rows]:
        """What the database holds."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.adapters.register_loader("date", TextLoader)
            return content(connection)

    def oracle(self) -> dict[str, Rows]:
        """What it must hold in the end."""
        database, config = self.folder / "oracle.db", self.folder / "oracle.toml"
        fake = FakeSearchConsole(self.layout.properties(), quota=unlimited())
        layout = attrs.evolve(
            self.layout, concurrency=1, batch_size=1, queries_per_minute=UNLIMITED
        )
        config.write_text(layout.settings_file())
        with served(fake) as api_root:
            self.run(
                *("sync", "--db", str(database), "--config", str(config), "--no-progress"),
                *("--api-root", api_root, "--access-token", "oracle"),
            )
        with closing(open_connection(database, create=False, read_only=True)) as connection:
            return content(connection)

    def wait_until_complete(self, worker: WorkerProcess) -> None:
        """Until a worker has told of each shard that it is complete."""
        for _ in self.layout.names:
            worker.wait_for(": complete: ")


def unlimited() -> Quota:
    return Quota(queries_per_minute=UNLIMITED, project_queries_per_minute=UNLIMITED * 100)


@contextmanager
def open_fleet(layout: Layout, folder: Path, database: str) -> Iterator[Fleet]:
    """A fake that is served, and what its clients need."""
    emails = [f"{name}@fake-project.iam.gserviceaccount.com" for name in layout.names]
    oauth = FakeOAuthServer(other_client_emails=emails)
    fake = FakeSearchConsole(
        layout.properties(),
        quota=Quota(
            queries_per_minute=layout.queries_per_minute,
            project_queries_per_minute=layout.queries_per_minute * layout.accounts,
        ),
        latency=Latency(layout.seconds_per_call, seconds_per_row=0.0),
        access_tokens=oauth.access_tokens,
        user_of=oauth.user_of,
    )
    with served(oauth.in_front_of(fake)) as api_root:
        environment = {
            "GSC_TRIO_API_ROOT": api_root,
            "GSC_TRIO_ACCOUNTS_FILE": str(folder / "accounts.json"),
        }
        fleet = Fleet(layout, folder, database, fake, environment)
        fleet.config.write_text(layout.settings_file())
        for name, email in zip(layout.names, emails, strict=True):
            key_file = folder / f"{name}.json"
            key_file.write_text(json.dumps(oauth.key_file(api_root, email)))
            fleet.run("login", "--account", name, "--key-file", str(key_file))
        yield fleet
