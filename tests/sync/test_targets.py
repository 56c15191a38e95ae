from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from gsc_trio.config_sources import load_settings
from gsc_trio.errors import UsageError
from gsc_trio.sync.targets import read_targets
from gsc_trio.toml_lines import line_of

SITE = "sc-domain:example.com"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gsc-trio.toml"


def test_every_combination_of_a_table_is_a_target(file: Path) -> None:
    file.write_text(
        """
        batch_size = 20
        [[sync]]
        sites = ["sc-domain:example.com", "https://shop.example/"]
        search_types = ["web", "image"]
        dimensions = ["query, page", "date"]

        [[sync]]
        sites = ["sc-domain:example.com"]
        search_types = ["discover"]
        dimensions = ["page"]
        data_state = "all"
        filters = ["country:equals:deu"]
        start = 2026-01-31
        """
    )
    *first, last = read_targets(file)
    assert [
        (each.query.site_url, each.query.search_type, each.query.dimensions) for each in first
    ] == [
        (site, search_type, dimensions)
        for site in (SITE, "https://shop.example/")
        for search_type in ("web", "image")
        for dimensions in (("page", "query"), ())
    ]
    assert (last.query.data_state, last.start) == ("all", dt.date(2026, 1, 31))
    assert [str(each) for each in last.query.filters] == ["country:equals:deu"]
    assert load_settings(config_file=file, environment={}).batch_size == 20


def test_a_file_without_tables_has_no_targets(file: Path) -> None:
    file.write_text("batch_size = 20\n")
    assert read_targets(file) == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('[[sync]]\nsites = ["a"]\nsite = "b"\n', 3, "unknown key 'site': did you mean sites?"),
        ('[[sync]]\nsites = "sc-domain:a"\n', 2, "sites is 'sc-domain:a': use a list of texts"),
        ("[[sync]]\n\nsites = []\n", 3, "sites is []: use a list of texts"),
        ("\n[[sync]]\ndays = 3\n", 2, "[[sync]] has no sites: list at least one"),
        ('[[sync]]\nsites = ["a"]\n', 2, "sites: 'a' is no Search Console property"),
        (f'[[sync]]\nsites = ["{SITE}"]\ndays = "3"\n', 3, "days is '3': use a whole number"),
        (f'[[sync]]\nsites = ["{SITE}"]\ndays = true\n', 3, "days is True: use a whole number"),
        (f'[[sync]]\nsites = ["{SITE}"]\nstart = "2026-01-01"\n', 3, "start is '2026-01-01': use"),
        (
            f'[[sync]]\nsites = ["{SITE}"]\nstart = 2026-01-01\ndays = 2',
            3,
            "start and days cannot be combined",
        ),
        (f'[[sync]]\nsites = ["{SITE}"]\nfilters = ["page"]\n', 3, "filters: "),
        (f'[[sync]]\nsites = ["{SITE}"]\ndata_state = "fresh"\n', 3, "data_state is 'fresh': use"),
        (f'[[sync]]\nsites = ["{SITE}"]\nsearch_types = ["books"]', 3, "unknown search type 'bo"),
        (
            f'[[sync]]\nsites = ["{SITE}"]\nsearch_types = ["discover"]\ndimensions = ["query"]',
            4,
            "search type discover has no query dimension",
        ),
        (f'[[sync]]\nsites = ["{SITE}"]\n[[sync]]\nsites = ["{SITE}"]', 4, "is there twice"),
        (f'[[sync]]\nsites = ["{SITE}"]\naccount = 3\n', 3, "account is 3: use a name of"),
        (
            f'[[sync]]\nsites = ["{SITE}"]\naccount = "a"\n'
            f'[[sync]]\nsites = ["{SITE}"]\naccount = "b"\nsearch_types = ["image"]',
            6,
            f"{SITE} is given to a and to b: let one account ask for all of it",
        ),
        ('batch_size = 2\nsync = "x"\n', 2, "sync must be tables: write [[sync]]"),
        ("[sync]\na = 2\n", 1, "sync must be tables: write [[sync]]"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(
    text: str, line: int, message: str, file: Path
) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_targets(file)
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert message in str(caught.value)


def test_the_line_of_a_setting_is_told_too(file: Path) -> None:
    file.write_text('# about "batch_size"\n\nbatch_size = "many"\n[[sync]]\nbatch_size = 3\n')
    with pytest.raises(UsageError, match=r"batch_size in .*, line 3 is 'many'"):
        load_settings(config_file=file, environment={})


def test_lines_are_looked_for_in_their_own_table() -> None:
    text = 'a = 1\n[[sync]]\na = 2\n[other]\na = 3\n[[sync]]\n"a" = 4\n'
    assert line_of(text, "a") == 1
    assert [line_of(text, "a", table="sync", index=index) for index in (0, 1, 2)] == [3, 7, None]
    assert line_of(text, "sync", table="sync", index=1) == 6
    assert line_of("x = { a = 1 }", "a") is None
