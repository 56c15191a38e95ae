"""Cassettes: what is written is read again, what is no cassette is refused, nothing is secret."""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsc_trio.errors import UsageError
from gsc_trio.model import SearchAnalyticsQuery
from gsc_trio.testing import (
    Cassette,
    SimulatedProperty,
    make_cassette,
    read_cassette,
    record_simulated,
    write_cassette,
)
from gsc_trio.testing.cassette import RecordedRequest, request_for

SITE = "sc-domain:example.com"
END = dt.date(2026, 3, 4)
START = END - dt.timedelta(days=5)
QUERY = SearchAnalyticsQuery(SITE, row_limit=20)
SIMULATED = SimulatedProperty(SITE, seed=3, rows_per_day=30)


def recorded(distinct_days: int | None = None) -> Cassette:
    return record_simulated(
        SIMULATED, start=START, end=END, query=QUERY, distinct_days=distinct_days
    )


def bytes_of(cassette: Cassette, path: Path) -> bytes:
    write_cassette(cassette, path)
    return path.read_bytes()


def test_recording_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (bytes_of(recorded(), tmp_path / name) for name in ("a", "b"))
    assert first == second


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_cassette(recorded(), tmp_path / "one.cassette")
    assert read_cassette(tmp_path / "one.cassette") == recorded()


def test_it_holds_what_a_backfill_asks_for() -> None:
    answers = recorded().answers
    for number in range(6):
        day = END - dt.timedelta(days=number)
        rows = SIMULATED.rows(day, "web", QUERY.dimensions)
        pages = [answers[request_for(QUERY, day, start)] for start in range(0, len(rows) + 1, 20)]
        content = [row for page in pages for row in json.loads(page.body.content()).get("rows", [])]
        assert [tuple(row["keys"]) for row in content] == [row.keys for row in rows]
        assert sum(page.rows for page in pages) == len(rows)
    assert recorded().rows == sum(answer.rows for answer in answers.values())


def test_days_may_repeat_the_rows_of_a_few_and_the_label_says_so(tmp_path: Path) -> None:
    repeated = recorded(distinct_days=2)
    first, third = (
        repeated.answers[request_for(QUERY, END - dt.timedelta(days=back), 0)] for back in (0, 2)
    )
    assert first.body is third.body
    assert "the rows of 2 days over and over" in repeated.label
    assert "over and over" not in recorded().label
    write_cassette(repeated, tmp_path / "cassette")
    bodies = [
        name for name in zipfile.ZipFile(tmp_path / "cassette").namelist() if "bodies/" in name
    ]
    assert len(bodies) == len({id(answer.body) for answer in repeated.answers.values()})


def test_any_tool_can_open_it(tmp_path: Path) -> None:
    write_cassette(recorded(), tmp_path / "cassette")
    with zipfile.ZipFile(tmp_path / "cassette") as archive:
        assert archive.testzip() is None
        index = json.loads(archive.read("cassette.json"))
    assert (index["format"], index["version"], index["origin"]) == (
        "gsc-trio cassette", 1, "simulated",
    )  # fmt: skip
    assert index["answers"][0]["request"]["data_date"] == str(END)


def test_only_headers_that_matter_are_kept(tmp_path: Path) -> None:
    request = request_for(QUERY, END, 0)
    headers = {"Retry-After": "7", "Authorization": "Bearer secret", "Set-Cookie": "secret"}
    cassette = make_cassette("recorded", "a test", [(request, 429, headers, b"{}", 0)])
    assert cassette.answers[request].headers == {"retry-after": "7"}
    assert b"secret" not in bytes_of(cassette, tmp_path / "cassette")
    assert not {"token", "access_token", "authorization"} & set(RecordedRequest.__struct_fields__)


def rewritten(path: Path, **fields: object) -> Path:
    """A cassette whose index says something else."""
    write_cassette(recorded(), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    index = {**json.loads(members["cassette.json"]), **fields}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "cassette.json": json.dumps(index).encode()}.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": 2}, "version 2, and this program knows versions up to 1"),
        ({"format": "other"}, "is no cassette: its format is 'other'"),
        ({"origin": "invented"}, "damaged"),
        ({"answers": []}, "damaged"),
    ],
)
def test_an_index_that_is_not_ours_is_refused(
    tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read_cassette(rewritten(tmp_path / "cassette", **fields))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the cassette"):
        read_cassette(tmp_path / "missing")
    (tmp_path / "text").write_text("text")
    with pytest.raises(UsageError, match="no cassette"):
        read_cassette(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("other", "")
    with pytest.raises(UsageError, match="no cassette"):
        read_cassette(tmp_path / "zip")
    with pytest.raises(UsageError, match="cannot write"):
        write_cassette(recorded(), tmp_path / "missing" / "cassette")


@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_as_it_was(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.cassette"
    whole = bytes_of(recorded(), path)
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        other = (whole[place] + data.draw(st.integers(1, 255))) % 256
        path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
    with suppress(UsageError):
        assert read_cassette(path) == recorded()
