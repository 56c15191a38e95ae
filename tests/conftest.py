"""What every test relies on, however the tests were started."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.postgres_server import PostgresServer

hypothesis.settings.register_profile(
    "any machine",
    deadline=None,  # how long an example takes says more of what else the machine does
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("any machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so, and programs that tests start would
    # inherit it: they would heed it, as they heed nohup, and never be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there by now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real Postgres server, started when the first test needs it."""
    from tests import postgres_server as module  # few tests need psycopg

    if module.programs() is None:
        pytest.skip("no Postgres server is installed (Debian: apt-get install postgresql)")
    with module.running_server() as server:
        yield server


@pytest.fixture
def postgres_address(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a database of one's own, with all tables in it."""
    address = postgres_server.new_database()
    yield address
    postgres_server.drop_database(address)
