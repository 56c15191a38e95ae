"""Two runs, one database; in Postgres one property, since others may be written meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest

from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.store.lock import lock_database
from gsc_trio.store.postgres.address import read_address
from gsc_trio.store.postgres.locks import hold_dataset
from gsc_trio.store.postgres.schema import create_dataset
from gsc_trio.store.postgres.session import connect
from gsc_trio.testing import FakeSearchConsole, SimulatedProperty
from tests.cli.conftest import SITE, RunCli, Serve
from tests.cli.test_processes import started

OTHER_SITE = "https://example.com/"


@attrs.define
class InUse:
    """A database that somebody else writes to."""

    database: str
    release: Callable[[], object]
    """Let others in."""
    named: str
    """How it is told."""

    @property
    def arguments(self) -> tuple[object, ...]:
        return ("--db", self.database, "--days", 2)


@pytest.fixture(params=["sqlite", "postgres"])
def in_use(request: pytest.FixtureRequest, run_cli: RunCli) -> Iterator[InUse]:
    if request.param == "sqlite":
        yield InUse("gsc.db", lock_database(Path("gsc.db")).release, "gsc.db is in use by process ")
        return
    database = request.getfixturevalue("postgres_address")
    address = read_address(database)
    with connect(address, read_only=False) as connection:
        hold_dataset(connection, create_dataset(connection, SearchAnalyticsQuery(SITE)))
        named = f"{SITE} in {address} is in use by gsc-trio process "
        yield InUse(database, connection.close, named)


def started_run(
    in_use: InUse, api_root: str, *subject: object
) -> AbstractContextManager[subprocess.Popen[str]]:
    arguments = (*in_use.arguments, "--api-root", api_root, "--wait", "--json")
    return started(*(subject or ("backfill", SITE)), *arguments)


def test_the_second_run_is_refused_in_one_line_that_names_the_first(
    run_cli: RunCli, in_use: InUse, api_root: str
) -> None:
    refused = run_cli("backfill", SITE, *in_use.arguments, "--api-root", api_root)
    in_use.release()
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith(f"gsc-trio: {in_use.named}")
    assert refused.stderr.endswith("let that end first, or use --wait\n")
    assert len(refused.stderr.splitlines()) == 1
    assert not Path("gsc.db").exists()


def test_a_run_that_waits_goes_on_when_the_first_has_ended(in_use: InUse, api_root: str) -> None:
    with started_run(in_use, api_root) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith(in_use.named)
        assert line.endswith("let that end first; waiting for it\n")
        in_use.release()
        stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["days"] == 2


def test_a_run_that_waits_can_be_interrupted(in_use: InUse, api_root: str) -> None:
    with started_run(in_use, api_root) as process:
        assert process.stderr is not None
        assert "waiting for it" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    in_use.release()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["status"] == "interrupted"
    assert not Path("gsc.db").exists()


@pytest.mark.parametrize("in_use", ["postgres"], indirect=True)
def test_of_many_properties_only_the_one_in_use_is_refused_unless_it_is_waited_for(
    run_cli: RunCli, in_use: InUse, serve: Serve
) -> None:
    properties = [SimulatedProperty(site, rows_per_day=3) for site in (SITE, OTHER_SITE)]
    api_root = serve(FakeSearchConsole(properties))
    Path("sites.txt").write_text(f"{SITE}\n{OTHER_SITE}\n")
    arguments = ("backfill", "--sites", "sites.txt")
    result = run_cli(*arguments, *in_use.arguments, "--api-root", api_root, "--json")
    assert result.exit_code == 1
    found = statuses(result.stdout)
    assert found == {SITE: "failed", OTHER_SITE: "complete"}, result.output
    with started_run(in_use, api_root, *arguments) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(in_use.named)
        in_use.release()
        stdout, _ = process.communicate(timeout=20)
    assert statuses(stdout)[SITE] == "complete"


def statuses(told: str) -> dict[str, str]:
    return {each["site"]: each["status"] for each in json.loads(told)["properties"]}
