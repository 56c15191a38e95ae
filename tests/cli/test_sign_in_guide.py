"""The guide to signing in shows what the commands print, and its Python runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import Result

from gsc_trio.testing import FakeOAuthServer, FakeSearchConsole, SimulatedProperty
from gsc_trio.testing.transport import App
from tests.cli.guides import read_guide, session
from tests.cli.sign_in import KEY_FILE, Browser, write_files

GUIDE = read_guide("SIGN_IN")
RunCli = Callable[..., Result]


@pytest.fixture(autouse=True)
def google(
    serve: Callable[[App], str], clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    oauth = FakeOAuthServer()
    fake = FakeSearchConsole(
        [SimulatedProperty("sc-domain:example.com", rows_per_day=20)],
        access_tokens=oauth.access_tokens,
    )
    api_root = serve(oauth.in_front_of(fake))
    Path("fake-google").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir("fake-google")
        write_files(oauth, api_root)
        KEY_FILE.rename("service-account.json")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("GSC_TRIO_API_ROOT", api_root)
    browser = Browser()
    monkeypatch.setattr("webbrowser.open", browser.open)
    yield api_root
    browser.close()


def simplified(text: str) -> list[str]:
    """Lines without what differs from run to run: folders, times, ports, tokens, widths."""
    text = re.sub(r"/\S*/(?=[\w.-]+\.json)", "FOLDER/", text.replace("config/", "gsc-trio/"))
    text = re.sub(r"client_id=\S*", "client_id=…", text)
    text = re.sub(r"(?<=127.0.0.1:)\d+", "PORT", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)
    text = re.sub(r'(?<="complete", ).*}', "…}", text)
    return [re.sub(r" +", " ", line) for line in text.splitlines()]


def test_the_session_of_the_guide_is_what_the_commands_print(run_cli: RunCli) -> None:
    steps = session(GUIDE)
    assert len(steps) == 8
    for command, expected in steps[1:]:  # the first sets a variable, which the fixture does
        result = run_cli(*shlex.split(command)[1:])
        printed = simplified(result.output)
        assert sorted(printed) == sorted(simplified(expected)), command


def test_every_command_that_the_guide_names_is_one(run_cli: RunCli) -> None:
    named = {
        (name, option)
        for name, options in re.findall(r"gsc-trio ([\w-]+)([^`\n]*)", GUIDE)
        for option in re.findall(r"--[\w-]+", options)
    }
    assert len(named) >= 12
    for name, option in named:
        assert f"{option} " in run_cli(name, "--help").stdout.replace(",", " "), (name, option)


def test_the_python_of_the_guide_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    namespace: dict[str, Any] = {}
    Path("fake-google/service-account.json").rename("robot.json")
    exec(code, namespace)  # it is our own
    assert trio.run(namespace["list_properties"]) == ["sc-domain:example.com"]
