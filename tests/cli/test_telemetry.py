"""A run that is watched from outside: logs on stderr, metrics for Prometheus."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
from click.testing import Result

from gsc_trio.testing import FakeSearchConsole, Fault, Refuse, SimulatedProperty

SITE = "sc-domain:example.com"
TOKEN = "ya29.secret-of-the-tests"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@attrs.define(eq=False)
class ScrapedWhileItAnswers(FakeSearchConsole):
    """Asks for the metrics of the program that asks it, as Prometheus would."""

    metrics_address: str = ""
    scraped: list[str] = attrs.field(factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            async with httpx.AsyncClient() as http:
                response = await http.get(self.metrics_address)
            assert response.headers["content-type"].startswith("text/plain")
            self.scraped.append(response.raise_for_status().text)
        await super().__call__(scope, receive, send)


def threads_that_are_not_trios() -> set[threading.Thread]:
    """Trio keeps threads for a while, for whatever comes next."""
    return {each for each in threading.enumerate() if not each.name.startswith("Trio")}


def backfill_arguments(api_root: str, *others: object) -> list[object]:
    return [
        *("backfill", SITE, "--db", "gsc.db", "--days", 12, "--api-root", api_root),
        *("--access-token", TOKEN, "--json", *others),
    ]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_with_a_log_stderr_is_events_only_and_stdout_the_summary(
    log_format: str, run_cli: Callable[..., Result], serve: Callable[[FakeSearchConsole], str]
) -> None:
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=40)], faults=[Fault(Refuse(503), times=2)]
    )
    result = run_cli(
        *backfill_arguments(serve(fake), "--log-format", log_format, "--log-level", "debug"),
        *("--batch-size", 4),
    )
    summary = json.loads(result.stdout)
    lines = result.stderr.splitlines()
    if log_format == "json":
        entries = [json.loads(line) for line in lines]
        names = [entry["event"] for entry in entries]
        committed = [entry for entry in entries if entry["event"] == "page_committed"]
        assert sum(entry["rows"] for entry in committed) == summary["rows"]
    else:
        names = [line.split()[2] for line in lines]
    assert names.count("page_committed") == summary["pages"] == 12
    assert names.count("jobs_retried") >= 1
    assert names[0] == "run_started"
    assert names[-1] == "run_finished"
    assert TOKEN not in result.stderr


def test_the_log_is_quieter_by_default(run_cli: Callable[..., Result], api_root: str) -> None:
    result = run_cli(*backfill_arguments(api_root, "--log-format", "json"))
    names = [json.loads(line)["event"] for line in result.stderr.splitlines()]
    assert set(names) == {"run_started", "batch_finished", "day_completed", "run_finished"}
    result = run_cli(*backfill_arguments(api_root, "--log-format", "json", "--log-level", "error"))
    assert not result.stderr


def test_an_instrument_that_raises_is_a_line_of_the_log(
    run_cli: Callable[..., Result], api_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gsc_trio.cli.progress.Progress.handle", broken)
    result = run_cli(*backfill_arguments(api_root, "--log-format", "json"))
    notes = [
        entry["message"]
        for entry in map(json.loads, result.stderr.splitlines())
        if entry["event"] == "note" and entry["level"] == "warning"
    ]
    assert notes
    assert "switched off" in notes[0]
    assert json.loads(result.stdout)["status"] == "complete"


def test_metrics_are_served_while_it_runs_and_no_longer(
    run_cli: Callable[..., Result], serve: Callable[[FakeSearchConsole], str], free_port: int
) -> None:
    address = f"http://127.0.0.1:{free_port}/metrics"
    fake = ScrapedWhileItAnswers(
        [SimulatedProperty(SITE, rows_per_day=40)], metrics_address=address
    )
    api_root = serve(fake)
    threads = threads_that_are_not_trios()
    result = run_cli(*backfill_arguments(api_root, "--metrics-port", free_port, "--no-progress"))
    assert json.loads(result.stdout)["status"] == "complete"
    assert result.stderr == f"metrics are at {address}\n"
    assert fake.scraped
    for page in fake.scraped:
        assert "\ngsc_trio_days_planned 12.0\n" in page
        assert 'gsc_trio_quota_exceeded_total{quota="user"} 0.0' in page
        assert 'service_name="gsc-trio"' in page
        for private in (TOKEN, SITE, "access-token"):
            assert private not in page
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    assert threads_that_are_not_trios() == threads


def test_property_and_user_are_served_when_asked_for(
    run_cli: Callable[..., Result], serve: Callable[[FakeSearchConsole], str], free_port: int
) -> None:
    fake = ScrapedWhileItAnswers(
        [SimulatedProperty(SITE, rows_per_day=40)],
        metrics_address=f"http://127.0.0.1:{free_port}/metrics",
    )
    run_cli(*backfill_arguments(serve(fake), "--metrics-port", free_port, "--telemetry-identities"))
    assert f'gsc_trio_site="{SITE}",gsc_trio_user="access-token"' in fake.scraped[0]
    assert TOKEN not in "".join(fake.scraped)


def test_a_port_in_use_is_told_before_anything_is_done(
    run_cli: Callable[..., Result], api_root: str, tmp_path: Any
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        result = run_cli(*backfill_arguments(api_root, "--metrics-port", port))
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert f"cannot serve metrics on 127.0.0.1, port {port}" in result.stderr
    assert "in use" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_told_with_the_command_that_installs_it(
    run_cli: Callable[..., Result],
    api_root: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.prometheus", None)
    result = run_cli(*backfill_arguments(api_root, "--metrics-port", 0))
    assert result.exit_code == 2
    assert result.stderr == (
        "gsc-trio: --metrics-port needs packages that are not installed: "
        "pip install 'gsc-trio[telemetry]'\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--log-level", "debug"], "--log-level needs --log-format"),
        (["--metrics-host", "::1"], "--metrics-host needs --metrics-port"),
        (["--metrics-port", "70000"], "65535"),
        (["--log-format", "xml"], "'json', 'text'"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    flags: list[str], words: str, run_cli: Callable[..., Result], api_root: str
) -> None:
    result = run_cli(*backfill_arguments(api_root, *flags))
    assert result.exit_code == 2
    assert words in result.stderr
