"""A real Postgres server for tests, from what Debian installs; it needs no service.

It has a folder of its own and answers on a Unix socket in it only. Its settings are fast rather
than safe, unless a test asks for safe ones: what is killed is then on the disk.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import attrs
import psycopg
from psycopg.conninfo import conninfo_to_dict

from gsc_trio.store.postgres.address import read_address
from gsc_trio.store.postgres.schema import migrate
from gsc_trio.store.postgres.session import connect

FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")

_SETTINGS = ("shared_buffers=32MB", "max_connections=60", "autovacuum=off", "log_timezone=UTC")

_numbers = count(1)


def programs() -> Path | None:
    """The folder of the newest server's programs, if there is one."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parent.parent.name),
    )
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


@attrs.define(eq=False)
class PostgresServer:
    """A server; `running_server` makes it."""

    programs: Path
    folder: Path
    settings: tuple[str, ...] = FAST
    user: str | None = None
    """Whom it runs as: it refuses to run as root."""

    def address(self, database: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://gsc@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = [word for each in (*_SETTINGS, *self.settings) for word in ("-c", each)]
        self._run(
            "pg_ctl",
            *("-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-w", "start"),
            *("-o", " ".join(["-k", str(self.folder), "-c listen_addresses=''", *options])),
        )

    def stop(self) -> None:
        """Stop it in an orderly way, ending its sessions."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "fast", "-w", "stop")

    def kill(self) -> None:
        """Kill it with all its sessions, as a power cut does."""
        pid_file = self.folder / "data" / "postmaster.pid"
        pid = int(pid_file.read_text().splitlines()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            descriptor = os.pidfd_open(each)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [])  # until it has ended
            os.close(descriptor)
        # Where nobody waits for the dead, the next start would take it for alive.
        for mark in (pid_file, self.folder / ".s.PGSQL.5432.lock"):
            mark.unlink()

    def new_database(self) -> str:
        """The address of a new database that has all tables already."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE gsc_template")
        return self.address(name)

    def empty_database(self, options: str = "") -> str:
        """The address of a new database that has nothing."""
        name = f"empty_{os.getpid()}_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return self.address(name)

    def drop_database(self, address: str) -> None:
        """Remove a database, ending its sessions."""
        self.execute(f"DROP DATABASE {conninfo_to_dict(address)['dbname']} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Do something beside all databases."""
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(statement)

    def make_template(self) -> None:
        """Make the database that new ones are copied from."""
        self.execute("CREATE DATABASE gsc_template TEMPLATE template0")
        address = read_address(self.address("gsc_template"))
        with connect(address, read_only=False) as connection:
            migrate(connection, address)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self.user,
            cwd=self.folder,
        )

    def initialise(self) -> None:
        """Make its files."""
        self._run(
            "initdb",
            *("-D", str(self.folder / "data"), "-U", "gsc", "-A", "trust", "-E", "UTF8"),
            *("--locale=C", "--no-sync", "--no-instructions"),
        )


@contextmanager
def running_server(settings: tuple[str, ...] = FAST) -> Iterator[PostgresServer]:
    """A server that is stopped, and whose files are removed, at the end."""
    found = programs()
    if found is None:
        raise FileNotFoundError("no Postgres server is installed")
    folder = Path(tempfile.mkdtemp(prefix="gsc-postgres-"))
    user = None
    if os.geteuid() == 0:
        user = next(name for name in ("postgres", "nobody") if _has_user(name))
        shutil.chown(folder, user)
    server = PostgresServer(found, folder, settings, user)
    try:
        server.initialise()
        server.start()
        try:
            server.make_template()
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
