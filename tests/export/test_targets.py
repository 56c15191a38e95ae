"""A target that is there is left alone unless that is wanted, and is never seen half written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from gsc_trio.errors import DatabaseInUseError, StorageError, UsageError
from gsc_trio.export import (
    Existing,
    ExportSummary,
    Selection,
    export_csv,
    export_duckdb,
    export_parquet,
    read_arrow,
)
from gsc_trio.model import Row
from gsc_trio.store.lock import lock_database
from gsc_trio.whole_files import move_durably
from tests.export.databases import (
    BY_PAGE_AND_QUERY,
    BY_QUERY,
    DAY,
    days_before,
    rows_of,
    write_a_full_page,
    write_days,
)

Export = Callable[..., ExportSummary]

EXPORTS: dict[str, Export] = {
    "folder": export_parquet,
    "rows.csv": export_csv,
    "rows.duckdb": export_duckdb,
}
UPDATABLE = ["folder", "rows.duckdb"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "gsc.db"
    write_days(path, {days_before(n): [row("page", f"query {n}")] for n in range(3)})
    return path


def row(page: str, query: str, clicks: float = 1.0) -> Row:
    return Row((page, query), clicks, 2.0, 3.0)


def content(path: Path) -> dict[Path, bytes]:
    """Everything in a folder but the user's database, which a reader may tidy up after."""
    return {
        each: each.read_bytes()
        for each in path.rglob("*")
        if each.is_file() and not each.name.startswith("gsc.db")
    }


def clicks_in(target: Path) -> list[int]:
    """By day, the newest first."""
    sql = "SELECT clicks FROM {} ORDER BY data_date DESC"
    if target.is_dir():
        files = f"read_parquet('{target}/search*/**/*.parquet', hive_partitioning = true)"
        found = duckdb.execute(sql.format(files)).fetchall()
    else:
        with duckdb.connect(str(target), read_only=True) as connection:
            found = connection.execute(sql.format("searchdata_url_impression")).fetchall()
    return [clicks for (clicks,) in found]


@pytest.mark.parametrize("name", EXPORTS)
def test_a_second_export_is_refused_and_changes_nothing(
    database: Path, tmp_path: Path, name: str
) -> None:
    EXPORTS[name](database, tmp_path / name)
    before = content(tmp_path)
    write_days(database, {DAY: [row("page", "query", clicks=5.0)]})
    with pytest.raises(UsageError, match="--overwrite"):
        EXPORTS[name](database, tmp_path / name)
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", UPDATABLE)
def test_an_update_writes_the_days_that_changed_and_no_others(
    database: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    update: Export = partial(EXPORTS[name], database, target, existing=Existing.UPDATE)
    assert update() == ExportSummary(3, 3, 0, 0)  # it makes the target, too
    assert update() == ExportSummary(0, 0, 3, 0)
    write_days(database, {DAY: [row("page", "query 0", clicks=7.0)], days_before(9): []})
    assert update() == ExportSummary(2, 1, 2, 0)
    assert clicks_in(target) == [7, 1, 1]


@pytest.mark.parametrize("name", EXPORTS)
def test_overwriting_leaves_what_a_first_export_leaves(
    database: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    EXPORTS[name](database, target)
    write_days(database, {DAY: [row("page", "query 0", clicks=7.0)]})
    summary = EXPORTS[name](database, target, existing=Existing.OVERWRITE)
    assert summary == ExportSummary(3, 3, 0, 0)
    if name == "rows.csv":
        fresh = tmp_path / "fresh.csv"
        export_csv(database, fresh)
        assert target.read_bytes() == fresh.read_bytes()
    else:
        assert clicks_in(target) == [7, 1, 1]


def test_a_removed_file_is_written_again(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "folder"
    export_parquet(database, target)
    first, second, _ = sorted(target.rglob("*.parquet"))
    first.unlink()
    second.write_bytes(b"PAR1 not quite")
    summary = export_parquet(database, target, existing=Existing.UPDATE)
    assert (summary.days_written, summary.days_unchanged) == (2, 1)
    assert pq.read_table(target / "search_analytics_by_page_query").num_rows == 3


def test_files_are_the_same_bytes_whenever_they_are_written(database: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_parquet(database, tmp_path / name)
    a, b = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in content(tmp_path / name)}
        for name in ("a", "b")
    )
    assert a == b


@pytest.mark.parametrize("name", EXPORTS)
def test_days_that_are_not_complete_stay_out_and_keep_what_was_exported(
    database: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    EXPORTS[name](database, target)
    before = content(tmp_path)
    write_a_full_page(database, DAY)
    write_a_full_page(database, days_before(20))
    if name in UPDATABLE:
        summary = EXPORTS[name](database, target, existing=Existing.UPDATE)
        assert summary == ExportSummary(0, 0, 2, 2)
    if name == "folder":
        assert content(tmp_path) == before
    summary = EXPORTS[name](database, tmp_path / f"new-{name}")
    assert (summary.days_written, summary.days_incomplete) == (2, 2)


@pytest.mark.parametrize("name", EXPORTS)
def test_what_goes_wrong_in_the_middle_leaves_the_target_as_it_was(
    database: Path, tmp_path: Path, name: str
) -> None:
    def fail(done: int, days: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    target = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        EXPORTS[name](database, target, on_day=fail)
    if name == "folder":
        assert clicks_in(target) == [1, 1]  # whole days, and the next run goes on
        assert export_parquet(database, target, existing=Existing.UPDATE).days_written == 1
    else:
        assert content(tmp_path) == {}
        EXPORTS[name](database, target)
        before = content(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            EXPORTS[name](database, target, existing=Existing.OVERWRITE, on_day=fail)
        assert content(tmp_path) == before


def test_an_update_of_a_duckdb_file_that_is_cut_off_goes_on_where_it_stopped(
    database: Path, tmp_path: Path
) -> None:
    def fail(done: int, days: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    target = tmp_path / "rows.duckdb"
    export_duckdb(database, target)
    write_days(database, {days_before(n): [row("p", f"{n}", clicks=9.0)] for n in range(3)})
    with pytest.raises(KeyboardInterrupt):
        export_duckdb(database, target, existing=Existing.UPDATE, on_day=fail)
    assert sorted(clicks_in(target)) == [1, 9, 9]
    assert export_duckdb(database, target, existing=Existing.UPDATE).days_written == 1
    assert clicks_in(target) == [9, 9, 9]


@pytest.mark.parametrize("name", ["rows.csv", "rows.duckdb"])
def test_what_a_killed_export_left_does_no_harm(database: Path, tmp_path: Path, name: str) -> None:
    for left in (f".{name}.partial", f".{name}.partial.wal"):
        (tmp_path / left).write_bytes(b"half")
    assert EXPORTS[name](database, tmp_path / name).days_written == 3
    assert not (tmp_path / f".{name}.partial").exists()


def test_what_a_killed_export_left_in_a_folder_does_no_harm(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "folder"
    (target / "_gsc_trio").mkdir(parents=True)
    (target / "_gsc_trio" / "partial").write_bytes(b"half")
    assert export_parquet(database, target, existing=Existing.UPDATE).days_written == 3
    assert clicks_in(target) == [1, 1, 1]


@pytest.mark.parametrize("name", EXPORTS)
def test_two_exports_to_one_target_do_not_meet(database: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    EXPORTS[name](database, target)
    before = content(tmp_path)
    lock = lock_database(target / "_gsc_trio" / "export" if name == "folder" else target)
    try:
        with pytest.raises(DatabaseInUseError, match=f"in use by process {os.getpid()}"):
            EXPORTS[name](database, target, existing=Existing.OVERWRITE)
    finally:
        lock.release()
    assert content(tmp_path) == before


def test_targets_that_must_be_left_alone(database: Path, tmp_path: Path) -> None:
    write_days(tmp_path / "gsc.db2", {DAY: []})
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("")
    store = tmp_path / "store" / "_gsc_trio"
    store.mkdir(parents=True)
    (store / "ledger.db").write_text("")
    (tmp_path / "used.duckdb").write_text("")
    (tmp_path / "used.duckdb.wal").write_text("")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE diary (entry VARCHAR)")
    before = content(tmp_path)
    for export, name, existing, message in (
        (export_csv, "gsc.db", Existing.OVERWRITE, "is the database itself"),
        (export_duckdb, "gsc.db2", Existing.OVERWRITE, "is a SQLite database"),
        (export_csv, "photos", Existing.OVERWRITE, "is a folder: name a file"),
        (export_csv, "no/rows.csv", Existing.REFUSE, "does not exist"),
        (export_csv, "rows.csv", Existing.UPDATE, "cannot be updated"),
        (export_parquet, "photos", Existing.OVERWRITE, "holds files that are no export"),
        (export_parquet, "store", Existing.OVERWRITE, "is what backfill --store parquet writes"),
        (export_parquet, "gsc.db2", Existing.OVERWRITE, "is a file: name a folder"),
        (export_parquet, "no/folder", Existing.REFUSE, "does not exist"),
        (export_duckdb, "used.duckdb", Existing.OVERWRITE, "is in use, or was not closed"),
        (export_duckdb, "other.duckdb", Existing.UPDATE, "is no export"),
    ):
        with pytest.raises(UsageError, match=message):
            export(database, tmp_path / name, existing=existing)
    assert content(tmp_path) == before


def test_a_duckdb_file_that_someone_has_open_is_told(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.duckdb"
    target.write_text("not a DuckDB file at all, and long enough to look at" * 100)
    with pytest.raises(StorageError, match=r"cannot write .*rows\.duckdb: "):
        export_duckdb(database, target, existing=Existing.UPDATE)


def test_there_must_be_something_to_export(database: Path, tmp_path: Path) -> None:
    for export, selection in (
        (export_parquet, Selection(site_url="sc-domain:other.example")),
        (export_csv, Selection(start=days_before(-1))),
        (export_duckdb, Selection(dimensions=frozenset({"query"}))),
    ):
        with pytest.raises(UsageError, match="no complete day to export"):
            export(database, tmp_path / "target", selection)
    with pytest.raises(UsageError, match="no complete day"):
        read_arrow(database, BY_QUERY)
    with pytest.raises(UsageError, match="there is no database at"):
        read_arrow(tmp_path / "no.db", BY_QUERY)
    assert content(tmp_path) == {}


def test_csv_takes_one_set_of_dimensions(database: Path, tmp_path: Path) -> None:
    write_days(database, {DAY: [Row(("x",), 1.0, 2.0, 3.0)]}, BY_QUERY)
    target = tmp_path / "rows.csv"
    with pytest.raises(UsageError, match=r"has rows by page,query and query: .*--dimensions"):
        export_csv(database, target)
    export_csv(database, target, Selection(dimensions=frozenset({"query"})))
    assert target.read_text() == (
        '"data_date","site_url","search_type","query","clicks","impressions","sum_top_position"\n'
        '"2026-03-01","sc-domain:example.com","web","x",1,2,4.0\n'
    )


@pytest.mark.parametrize("missing", ["pyarrow", "duckdb"])
def test_a_missing_library_is_told_with_the_command_that_installs_it(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in (missing, "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=rf"needs {missing} .*: pip install 'gsc-trio\[export\]'"):
        EXPORTS["rows.duckdb"](database, tmp_path / "rows.duckdb")
    with pytest.raises(UsageError, match=r"needs pyarrow .*: pip install 'gsc-trio\[export\]'"):
        export_parquet(database, tmp_path / "folder")
    assert content(tmp_path) == {}
    assert export_csv(database, tmp_path / "rows.csv").days_written == 3


def test_a_disk_that_is_full_is_told(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(StorageError, match=r"cannot write .*folder: No space left on device"):
        export_parquet(database, tmp_path / "folder")


def test_memory_holds_one_day_at_a_time(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = pq.write_table

    def write(table: Any, *arguments: Any, **options: Any) -> None:
        sizes.append(table.num_rows)
        original(table, *arguments, **options)

    monkeypatch.setattr(pq, "write_table", write)
    export_parquet(database, tmp_path / "folder")
    assert sizes == [1] * len(rows_of(database))


def test_the_database_may_be_in_use(database: Path, tmp_path: Path) -> None:
    write_days(database, {DAY: []})
    lock = lock_database(database)
    try:
        assert export_parquet(database, tmp_path / "folder").days_written == 3
    finally:
        lock.release()
    assert read_arrow(database, BY_PAGE_AND_QUERY).num_rows == 2


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors cannot be looked up")
def test_what_a_file_holds_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, str]] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        steps.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))

    def rename(path: Path, target: Path) -> None:
        steps.append(("rename", path.name))
        replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    (tmp_path / "partial").write_text("content")
    move_durably(tmp_path / "partial", tmp_path / "new" / "rows.parquet")
    assert steps == [
        ("sync", tmp_path.name),  # of which the new folder is a part
        ("sync", "partial"),
        ("rename", "partial"),
        ("sync", "new"),
    ]
