"""What is Postgres' own: servers that go away, many writers at once, addresses with passwords."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs
import psycopg
import pytest
import trio

from gsc_trio.errors import DatabaseInUseError, GscTrioError, StorageError, UsageError
from gsc_trio.model import InFlightChanges, Page, SearchAnalyticsQuery
from gsc_trio.store.postgres import ledger, schema
from gsc_trio.store.postgres.address import read_address
from gsc_trio.store.postgres.locks import WAIT_SECONDS
from gsc_trio.store.postgres.rows import EncodedRows
from gsc_trio.store.postgres.session import connect
from gsc_trio.store.postgres.store import PostgresStore, open_postgres_store
from tests.postgres_server import PostgresServer, running_server
from tests.store.databases import Reader, content, reading

MakePage = Callable[..., Page]

NO_CHANGES = InFlightChanges()
FIRST, LAST = dt.date(2024, 1, 1), dt.date(2024, 1, 31)

pytestmark = pytest.mark.usefixtures("postgres_server")

postgres = pytest.mark.parametrize("store", ["postgres"], indirect=True)


@contextmanager
def another_program(address: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection


def test_a_password_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "from-env-1")
    addresses = [
        "postgresql://me:s3cret-word@127.0.0.1:1/search",
        "postgresql://me:s3cret-word@no-such-host.invalid/search",
        "postgresql://127.0.0.1:1/search?user=me&password=s3cret-word",
        "host=127.0.0.1 port=1 user=me password=s3cret-word",
        "postgresql://me:s3cret-word%zz@127.0.0.1:1/search",
        "postgresql://me:s3cret-word@one@127.0.0.1:1/search",
        "postgresql://me:s3cret-word/with-slash@127.0.0.1:1/search",
        "postgresql://me:s3cret-word@127.0.0.1:1/search?nonsense=1",
        "postgresql://me:s3cret-word",
    ]

    async def open_it(address: str) -> None:
        async with open_postgres_store(address):
            pass

    for address in addresses:
        with pytest.raises(GscTrioError) as caught:
            trio.run(open_it, address)
        seen: BaseException | None = caught.value
        while seen is not None:
            for secret in ("s3cret", "from-env-1"):
                assert secret not in f"{seen} {seen!r}", address
            seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
        assert "\n" not in str(caught.value)
    known = read_address(addresses[0])
    assert str(known) == "postgresql://me@127.0.0.1:1/search"
    assert "s3cret" not in repr(known)


async def test_what_cannot_be_opened_is_told_in_one_line(postgres_server: PostgresServer) -> None:
    latin = postgres_server.empty_database("ENCODING 'LATIN1'")
    theirs = postgres_server.empty_database()
    newer = postgres_server.new_database()
    empty = postgres_server.empty_database()
    with another_program(theirs) as connection:
        connection.execute("CREATE TABLE dataset (id integer)")
    with another_program(newer) as connection:
        connection.execute("UPDATE gsc_trio_schema SET version = 99")
    for address, read_only, error, message in [
        (latin, False, UsageError, "does not keep text as UTF-8"),
        (theirs, False, UsageError, "has a table 'dataset' of another program"),
        (theirs, True, UsageError, "holds nothing of gsc-trio yet"),
        (newer, False, UsageError, "was made by a newer gsc-trio"),
        (newer, True, UsageError, "was made by a newer gsc-trio"),
        (empty, True, UsageError, "holds nothing of gsc-trio yet"),
        (postgres_server.address("nowhere"), False, StorageError, '"nowhere" does not exist'),
        ("postgresql://127.0.0.1:1/a", False, StorageError, "refused; Is the server running"),
    ]:
        with pytest.raises(error, match=message):
            async with open_postgres_store(address, read_only=read_only):
                pass
    with another_program(theirs) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert found.fetchone() == (1,)
    for address in (latin, theirs, newer, empty):
        postgres_server.drop_database(address)


async def test_a_schema_of_its_own_keeps_it_apart(
    postgres_server: PostgresServer, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    address = postgres_server.empty_database()
    with another_program(address) as connection:
        connection.execute("CREATE SCHEMA mine; CREATE SCHEMA yours")
    for name in ("mine", "yours"):
        async with open_postgres_store(f"{address}&options=-csearch_path%3D{name}") as store:
            await store.write_pages(query, [make_page(1, rows=[name])], NO_CHANGES)
    with another_program(address) as connection:
        for name in ("mine", "yours"):
            found = connection.execute(f"SELECT query FROM {name}.searchdata_site_impression")
            assert found.fetchall() == [(name,)]
    postgres_server.drop_database(address)


@postgres
async def test_text_with_a_nul_character_is_refused(
    store: PostgresStore, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    with pytest.raises(StorageError, match="a value cannot be stored"):
        await store.write_pages(query, [make_page(1, rows=["null\0"])], NO_CHANGES)


@postgres
async def test_a_dataset_has_one_writer(
    store: PostgresStore,
    postgres_address: str,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
) -> None:
    other = SearchAnalyticsQuery("sc-domain:example.org", dimensions=("query",), row_limit=3)
    page = make_page(1, rows=["a"])
    async with open_postgres_store(postgres_address) as second:
        await store.begin_run(query, FIRST, LAST)
        await second.write_pages(other, [page], NO_CHANGES)
        for _ in range(2):
            with pytest.raises(
                DatabaseInUseError,
                match=r"sc-domain:example\.com in .* is in use by gsc-trio process \d+ on .* since",
            ):
                await second.begin_run(query, FIRST, LAST)
        assert [each.days_complete for each in await second.coverage()] == [1]
    async with open_postgres_store(postgres_address) as third:
        await third.begin_run(other, FIRST, LAST)
    await store.write_pages(query, [page], NO_CHANGES)


@postgres
async def test_months_have_partitions_that_may_be_dropped(
    store: PostgresStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader
) -> None:
    january, march = make_page(1, rows=["a"]), make_page(2, rows=["b"])
    march = Page(type(march.job)(dt.date(2024, 3, 31)), march.rows, 3, 1)
    await store.write_pages(query, [january, march], NO_CHANGES)
    partitions = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = "
    partitions += "'search_analytics_by_query'::regclass ORDER BY 1"
    names = [f"search_analytics_by_query_2024_{month}" for month in ("01", "03")]
    assert [name for (name,) in reader.execute(partitions).fetchall()] == names
    reader.execute(f"DROP TABLE {names[0]}")
    with pytest.raises(StorageError, match="a table is missing"):
        await store.write_pages(query, [january], NO_CHANGES)
    await store.write_pages(query, [january], NO_CHANGES)
    assert [name for (name,) in reader.execute(partitions).fetchall()] == names


@postgres
async def test_a_session_that_ended_between_transactions_is_not_noticed(
    store: PostgresStore, query: SearchAnalyticsQuery, make_page: MakePage, reader: Reader
) -> None:
    for day in (1, 2):
        reader.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await store.write_pages(query, [make_page(day, rows=["a"])], NO_CHANGES)
    assert [each.days_complete for each in await store.coverage()] == [2]


@postgres
@pytest.mark.parametrize("when", ["before the commit", "in the commit"])
async def test_a_session_that_ends_in_mid_transaction_is_told_and_made_anew(
    store: PostgresStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    reader: Reader,
    when: str,
) -> None:
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    before = content(reader)
    reader.execute(
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'"
    )
    timing = "" if when == "before the commit" else "DEFERRABLE INITIALLY DEFERRED"
    reader.execute(
        f"CREATE CONSTRAINT TRIGGER die AFTER INSERT ON page_ledger {timing} "
        "FOR EACH ROW EXECUTE FUNCTION die()"
    )
    expected = {
        "before the commit": "was lost: nothing was written",
        "in the commit": "whether the last pages were written the next run finds out",
    }[when]
    with pytest.raises(StorageError, match=expected):
        await store.write_pages(query, [make_page(2, rows=["b"])], NO_CHANGES)
    assert content(reader) == before
    reader.execute("DROP TRIGGER die ON page_ledger")
    await store.write_pages(query, [make_page(2, rows=["b"])], NO_CHANGES)
    assert [each.days_complete for each in await store.coverage()] == [2]


@postgres
async def test_a_lock_of_another_program_is_not_waited_for_for_ever(
    store: PostgresStore,
    query: SearchAnalyticsQuery,
    make_page: MakePage,
    postgres_address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gsc_trio.store.postgres.session.LOCK_TIMEOUT_SECONDS", 0.05)
    await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
    with another_program(postgres_address) as other:
        async with open_postgres_store(postgres_address) as impatient:
            theirs = SearchAnalyticsQuery("sc-domain:example.org", dimensions=("query",))
            other.execute("BEGIN; LOCK TABLE page_ledger")
            with pytest.raises(StorageError, match="another program keeps it locked"):
                await impatient.write_pages(theirs, [make_page(1, rows=["a"])], NO_CHANGES)
            other.execute("COMMIT")
            await impatient.write_pages(theirs, [make_page(1, rows=["a"])], NO_CHANGES)


WRITER = """if True:
    import datetime as dt, sys, trio
    from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
    from gsc_trio.store.postgres.store import open_postgres_store

    async def main(address, site):
        query = SearchAnalyticsQuery(site, dimensions=("query",))
        async with open_postgres_store(address) as store:
            for month in range(1, 13):
                page = Page(Job(dt.date(2024, month, 1)), [Row((site,))] , 10, 1)
                await store.write_pages(query, [page], InFlightChanges())

    trio.run(main, *sys.argv[1:])
"""


async def test_processes_that_make_tables_and_partitions_at_once_make_each_once(
    postgres_server: PostgresServer,
) -> None:
    address = postgres_server.empty_database()
    sites = [f"sc-domain:{name}.example" for name in "abcd"]
    async with trio.open_nursery() as nursery:
        for site in sites:
            nursery.start_soon(trio.run_process, [sys.executable, "-c", WRITER, address, site])
    async with open_postgres_store(address, read_only=True) as store:
        found = [(each.site_url, each.days_complete) for each in await store.coverage()]
    assert found == [(site, 12) for site in sites]
    postgres_server.drop_database(address)


DYING = """if True:
    import datetime as dt, os, signal, sys, trio
    from gsc_trio.model import InFlightChanges, Job, Page, Row, SearchAnalyticsQuery
    from gsc_trio.store.postgres import ledger
    from gsc_trio.store.postgres.store import open_postgres_store

    ledger.record_page = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)

    async def main():
        query = SearchAnalyticsQuery("sc-domain:example.com", dimensions=("query",), row_limit=3)
        rows = [Row((f"{index}",)) for index in range(25_000)]
        async with open_postgres_store(sys.argv[1]) as store:
            await store.write_pages(query, [Page(Job(dt.date(2024, 1, 1)), rows, 3, 1)],
                                    InFlightChanges())

    trio.run(main)
"""


async def test_a_killed_process_leaves_nothing_of_the_page_it_was_writing(
    postgres_address: str, query: SearchAnalyticsQuery, make_page: MakePage
) -> None:
    async with open_postgres_store(postgres_address) as store:
        await store.write_pages(query, [make_page(1, rows=["a"])], NO_CHANGES)
        with reading(store) as reader:
            before = content(reader)
    process = await trio.run_process([sys.executable, "-c", DYING, postgres_address], check=False)
    assert process.returncode == -signal.SIGKILL
    async with open_postgres_store(postgres_address) as store:
        with reading(store) as reader:
            assert content(reader) == before
        await store.write_pages(query, [make_page(1, rows=["b"])], NO_CHANGES)


def test_a_server_that_is_killed_in_mid_write_keeps_what_was_committed(
    query: SearchAnalyticsQuery, make_page: MakePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fsync, as in earnest; the server's and the sessions' processes get SIGKILL."""
    with running_server(settings=("fsync=on",)) as server:
        address = server.new_database()
        real, days_to_kill_at = ledger.record_page, [3]

        def record_page(connection: Any, dataset_id: int, page: Page, data_state: str) -> None:
            if page.job.data_date.day in days_to_kill_at:
                days_to_kill_at.clear()
                server.kill()
            real(connection, dataset_id, page, data_state)

        monkeypatch.setattr(ledger, "record_page", record_page)

        async def run() -> None:
            async with open_postgres_store(address) as store:
                for day in (1, 2):
                    await store.write_pages(query, [make_page(day, rows=["a"])], NO_CHANGES)
                third = make_page(3, rows=["a"])
                with pytest.raises(StorageError, match="was lost: nothing was written"):
                    await store.write_pages(query, [third], NO_CHANGES)
                with pytest.raises(StorageError, match="cannot open postgresql://"):
                    await store.write_pages(query, [third], NO_CHANGES)
                server.start()
                assert sorted(await store.begin_run(query, FIRST, LAST)) == [
                    dt.date(2024, 1, 1),
                    dt.date(2024, 1, 2),
                ]
                await store.write_pages(query, [third], NO_CHANGES)
                assert [each.days_complete for each in await store.coverage()] == [3]

        trio.run(run)


def test_without_psycopg_nothing_else_is_the_worse() -> None:
    program = """if True:
        import sys
        import gsc_trio, gsc_trio.cli
        loaded = [name for name in sys.modules if name.split(".")[0] == "psycopg"]
        assert not loaded, loaded
    """
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_tables_that_another_process_makes_just_now_are_not_another_programs(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = postgres_server.empty_database()
    real, looks = schema.version_of, []

    def version_of(connection: schema.Connection) -> int:
        version = real(connection)
        looks.append(version)
        if len(looks) == 1:
            known = read_address(address)
            with connect(known, read_only=False) as other:
                schema.migrate(other, known)
        return version

    monkeypatch.setattr(schema, "version_of", version_of)
    async with open_postgres_store(address) as store:
        assert await store.coverage() == []
    assert looks[0] == 0
    postgres_server.drop_database(address)


def test_what_we_add_to_an_address_is_not_shown() -> None:
    address = read_address("postgresql://gsc:s3cret@db.example:5433/search?sslmode=require")
    shown = "postgresql://gsc@db.example:5433/search?sslmode=require"
    assert address.name == read_address(address.conninfo).name == shown


async def test_who_waits_for_a_dataset_has_it_when_the_other_ends(
    postgres_address: str, query: SearchAnalyticsQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gsc_trio.store.postgres.locks.WAIT_SECONDS", 0.02)
    other = attrs.evolve(query, search_type="image")
    async with open_postgres_store(postgres_address) as store, trio.open_nursery() as nursery:
        held = trio.Event()

        async def wait() -> None:
            await store.hold([other, query], wait=True)
            held.set()

        async with open_postgres_store(postgres_address) as first:
            await first.hold([query])
            with pytest.raises(DatabaseInUseError, match="is in use by gsc-trio process"):
                await store.hold([other, query])
            nursery.start_soon(wait)
            with trio.move_on_after(0.1):  # some times as long as one statement waits
                await held.wait()
            assert not held.is_set()
        with trio.fail_after(20):
            await held.wait()
        async with open_postgres_store(postgres_address) as late:
            with pytest.raises(DatabaseInUseError):
                await late.hold([query])


async def test_who_gave_up_waiting_for_a_dataset_is_gone_at_once(
    postgres_address: str, query: SearchAnalyticsQuery
) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
    async with open_postgres_store(postgres_address) as first:
        await first.hold([query])
        with another_program(postgres_address) as program, trio.fail_after(WAIT_SECONDS / 2):
            async with open_postgres_store(postgres_address) as store, trio.open_nursery() as tasks:
                tasks.start_soon(partial(store.hold, [query], wait=True))
                while program.execute(waiting).fetchall() != [(1,)]:  # noqa: ASYNC110
                    await trio.sleep(0.01)  # the server tells nobody
                tasks.cancel_scope.cancel()
        with another_program(postgres_address) as program:
            assert program.execute(waiting).fetchall() == [(0,)]
        await first.write_pages(query, [], NO_CHANGES)


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
async def test_rows_of_a_dataset_that_has_another_number_now_are_encoded_again(
    store: PostgresStore,
    query: SearchAnalyticsQuery,
    make_page: Callable[..., Page],
    reader: Reader,
) -> None:
    page = make_page(1, rows=["a"])
    await store.begin_run(query, page.job.data_date, page.job.data_date)
    *_, prepared = store.prepare_in_steps(query, page)
    assert prepared is not None
    assert isinstance(prepared.prepared, EncodedRows)
    wrong = attrs.evolve(page, prepared=attrs.evolve(prepared.prepared, dataset_id=99))
    await store.write_pages(query, [wrong], NO_CHANGES)
    assert reader.execute("SELECT dataset_id, query FROM search_analytics_by_query").fetchall() == [
        (1, "a")
    ]
