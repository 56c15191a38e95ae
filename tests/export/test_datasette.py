"""``datasette gsc.db`` with our metadata is a useful page at once, in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gsc_trio.export.datasette import QUERIES, datasette_metadata
from gsc_trio.model import Row, SearchAnalyticsQuery
from tests.export.databases import BY_QUERY, DAY, SITE, days_before, write_days

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--enable-logging=stderr",
)

GUIDE = (Path(__file__).parents[2] / "playbook" / "EXPORT.md").read_text("utf-8")

PAGES = ["https://example.com/<b>bold</b>", "https://example.com/plain"]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("datasette") / "gsc.db"
    for number in range(40):
        clicks = {PAGES[0]: 3.0, PAGES[1]: 0.0 if number < 28 else 5.0}
        rows = [Row((page, "shoes"), clicks[page], 100.0, 4.0) for page in PAGES]
        write_days(path, {days_before(number): rows})
    write_days(path, {DAY: [Row(("shoes",), 3.0, 200.0, 4.0)]}, BY_QUERY)
    write_days(path, {DAY: [Row((), 3.0, 250.0)]}, SearchAnalyticsQuery(SITE, "discover", ()))
    return path


def test_every_query_answers_with_its_fields_left_empty(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for name, (_, sql) in QUERIES.items():
            found = connection.execute(sql, {"site_url": "", "days": ""})
            columns = [column for column, *_ in found.description]
            assert found.fetchall(), name
            assert len({*columns}) == len(columns)
            assert not connection.execute(sql, {"site_url": "none", "days": "1"}).fetchall() or (
                ":site_url" not in sql
            )


def test_queries_answer_what_their_titles_ask(database: Path) -> None:
    def first(name: str, days: str = "") -> tuple[object, ...]:
        with closing(sqlite3.connect(database)) as connection:
            cursor = connection.execute(QUERIES[name][1], {"site_url": SITE, "days": days})
            columns, row = [column for column, *_ in cursor.description], cursor.fetchone()
            answer = dict(zip(columns, row, strict=True))
            return answer.get("url", answer.get("query")), answer.get("clicks")

    assert first("top_pages") == (PAGES[0], 84)
    assert first("top_pages", "7") == (PAGES[0], 21)
    assert first("losing_pages") == (PAGES[1], 0)
    assert first("winning_pages") == (PAGES[0], 84)
    assert first("top_queries") == ("shoes", 84)
    assert first("almost_on_page_one") == ("shoes", 180)
    assert first("competing_pages")[1] in {0, 84}


def test_every_column_of_every_table_is_described(database: Path) -> None:
    tables = datasette_metadata(database)["databases"]["gsc"]["tables"]
    with closing(sqlite3.connect(database)) as connection:
        names = {
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
                "AND name NOT LIKE 'sqlite%'"
            )
        }
        assert tables.keys() <= names  # what is not described is shown all the same
        assert {
            "run",
            "search_analytics_by_page_query",
            "searchdata_url_impression",
        } <= tables.keys()
        for name, table in tables.items():
            columns = {
                column for column, *_ in connection.execute(f"SELECT * FROM {name}").description
            }
            if not table.get("hidden"):
                assert table["description"]
                assert columns - table["columns"].keys() <= {"id", "dataset_id"}
                assert table.get("sort_desc", "clicks") in {*columns, "clicks"}


@contextmanager
def served(database: Path) -> Iterator[str]:
    """Datasette as a user starts it; gives its address."""
    metadata = database.with_name("metadata.json")
    metadata.write_text(json.dumps(datasette_metadata(database)))
    [command] = re.findall(r"^    datasette (gsc\.db .*)$", GUIDE, re.MULTILINE)
    with subprocess.Popen(
        [sys.executable, "-m", "datasette", *command.split(), "--port", "0"],
        cwd=database.parent,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    ) as process:
        try:
            assert process.stderr is not None
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "Datasette did not start"
                found = re.search(r"http://127\.0\.0\.1:\d+", line)
            yield found[0]
        finally:
            process.kill()


def browse(address: str, folder: Path) -> tuple[str, list[str]]:
    """A page as Chromium has it after its scripts ran, and what it wrote to the console."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, console


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.timeout(120)
def test_a_browser_shows_useful_pages(database: Path) -> None:
    with served(database) as address, tempfile.TemporaryDirectory() as folder:
        front, front_console = browse(f"{address}/gsc", Path(folder))
        movers, movers_console = browse(f"{address}/gsc/page_movers", Path(folder))
        top, top_console = browse(f"{address}/gsc/top_pages", Path(folder))
    assert front_console == movers_console == top_console == []
    for title, _ in QUERIES.values():
        assert f">{title}</a>" in front
    assert "filter by <i>dimensions</i>" in front
    assert "2 hidden tables" in front
    assert "sorted by clicks_change descending" in movers
    assert "The average place in the results, weighted by impressions." in movers
    assert movers.index(html.escape(PAGES[0])) < movers.index(PAGES[1])
    assert "<b>bold</b>" not in movers + top
    assert ">84<" in top
