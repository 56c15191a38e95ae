"""A rehearsal of the playbook: an overload, the page, the rollback, and the page's end.

A real Prometheus scrapes a real run by the configuration and the rules of the playbook. A minute
is a second here: every duration in them is divided by 60.

The server takes 8 queries a second and has not told anybody. With 5 workers the run is above that;
with 1 it is below.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import yaml
from trio_util import periodic

from gsc_trio.testing import (
    FakeSearchConsole,
    Latency,
    Quota,
    SimulatedProperty,
    serve_fake_search_console,
)
from tests.playbook.files import (
    ALERTS,
    PROMETHEUS_CONFIG,
    dashboard_queries,
    rule_queries,
    shell_commands,
)

SITE = "sc-domain:example.com"
HASTE = 60
SCRAPE_INTERVAL = "250ms"
PORT_IN_PLAYBOOK = "9464"

NOT_YET = {"Halt duration", "gsc_trio:slow_halts"}
"""What only the end of a run shows."""

BACKFILL, SERVE_PROMETHEUS, _ = shell_commands("TELEMETRY.md", "Prometheus and Grafana")
ROLLBACK, STATUS = shell_commands("ON_CALL.md", "Roll back in a minute")

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="Prometheus is not installed: it is Debian's package prometheus",
)


def in_haste(expression: str) -> str:
    """With every duration divided by 60: ``[5m]`` and ``offset 5m`` become 5 seconds."""
    seconds = {"s": 1, "m": 60, "h": 3_600}

    def shortened(found: re.Match[str]) -> str:
        before, number, unit = found.groups()
        return f"{before}{int(number) * seconds[unit] * 1_000 // HASTE}ms"

    return re.sub(r"(\[|offset |^)(\d+)([smh])(?=\]|\b)", shortened, expression)


def rules_in_haste() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    for group in content["groups"]:
        for rule in group["rules"]:
            rule["expr"] = in_haste(rule["expr"])
            if "for" in rule:
                rule["for"] = in_haste(rule["for"])
    return content


def config_in_haste(metrics_port: int) -> dict[str, Any]:
    text = PROMETHEUS_CONFIG.read_text(encoding="utf-8").replace(
        PORT_IN_PLAYBOOK, str(metrics_port)
    )
    content: dict[str, Any] = yaml.safe_load(text)
    content["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), SCRAPE_INTERVAL)
    return content


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Ask another process until it says so."""
    with trio.fail_after(seconds):
        async with aclosing(periodic(0.1)) as instants:
            async for _ in instants:
                if await condition():
                    return


@attrs.frozen
class Prometheus:
    """A server that runs."""

    client: httpx.AsyncClient

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        answer = await self.client.get("/api/v1/query", params={"query": expression})
        content = answer.json()
        assert content["status"] == "success", content
        result: list[dict[str, Any]] = content["data"]["result"]
        return result

    async def value(self, expression: str) -> float:
        return sum(float(each["value"][1]) for each in await self.ask(expression))

    async def is_firing(self, alert: str) -> bool:
        return bool(await self.ask(f'ALERTS{{alertname="{alert}", alertstate="firing"}}'))

    async def is_silent(self, alert: str) -> bool:
        return not await self.ask(f'ALERTS{{alertname="{alert}"}}')


@asynccontextmanager
async def ended_after(command: list[str], **options: Any) -> AsyncIterator[trio.Process]:
    """A process for as long as the body runs."""
    async with trio.open_nursery() as nursery:
        process = await nursery.start(partial(trio.run_process, command, check=False, **options))
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


@asynccontextmanager
async def open_prometheus(folder: Path, metrics_port: int) -> AsyncIterator[Prometheus]:
    """By the playbook's files, in haste."""
    (folder / "alerts.yaml").write_text(yaml.safe_dump(rules_in_haste()), encoding="utf-8")
    config = yaml.safe_dump(config_in_haste(metrics_port))
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = shlex.split(SERVE_PROMETHEUS.replace("playbook/prometheus/", ""))
    command.append(f"--web.listen-address={address}")
    with (folder / "prometheus.log").open("wb") as log:
        async with (
            ended_after(command, cwd=folder, stdout=log, stderr=log),
            httpx.AsyncClient(base_url=f"http://{address}") as client,
        ):

            async def is_ready() -> bool:
                try:
                    return (await client.get("/-/ready")).is_success
                except httpx.TransportError:
                    return False

            await until(is_ready)
            yield Prometheus(client)


async def test_an_overload_pages_and_the_rollback_of_the_playbook_ends_it(tmp_path: Path) -> None:
    fake = FakeSearchConsole(
        [SimulatedProperty(SITE, rows_per_day=20)],
        quota=Quota(burst_queries_per_second=8),
        latency=Latency(seconds_per_call=0.15, seconds_per_row=0, jitter=0),
    )
    port = free_port()
    overloaded = "GscTrioQuotaExceeded"
    async with (
        serve_fake_search_console(fake) as api_root,
        open_prometheus(tmp_path, port) as prometheus,
    ):
        environment = {
            **{name: value for name, value in os.environ.items() if "GSC_TRIO" not in name},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GSC_TRIO_API_ROOT": api_root,
            "GSC_TRIO_BATCH_SIZE": "1",
            "GSC_TRIO_MAX_CONCURRENCY": "5",
        }
        in_folder: dict[str, Any] = {"cwd": tmp_path, "env": environment}

        def shell(commands: str) -> list[str]:
            return ["sh", "-c", commands.replace(PORT_IN_PLAYBOOK, str(port))]

        async with ended_after(shell(f"exec {BACKFILL}"), **in_folder):
            await until(partial(prometheus.is_firing, overloaded))
            await until(partial(_panels_and_rules_have_data, prometheus))
            assert await prometheus.is_firing(overloaded)
            async with ended_after(shell(ROLLBACK), **in_folder):
                await until(partial(_runs_with_one_worker, prometheus))
                refused = fake.quota.refused
                await until(partial(prometheus.is_silent, overloaded))
                await until(partial(_has_committed, prometheus, 3))
                assert await prometheus.is_silent(overloaded)
                assert fake.quota.refused == refused > 0
                status = await trio.run_process(shell(STATUS), capture_stdout=True, **in_folder)
                assert SITE in status.stdout.decode()
                await trio.run_process(shell(ROLLBACK.partition("gsc-trio")[0]), **in_folder)


async def _has_committed(prometheus: Prometheus, pages: int) -> bool:
    return await prometheus.value("gsc_trio_pages_committed_total") >= pages


async def _panels_and_rules_have_data(prometheus: Prometheus) -> bool:
    for query in dashboard_queries() + rule_queries():
        expression = query.expression.replace("$__rate_interval", "5m")
        expression = expression.replace("$job", "gsc-trio").replace("$instance", ".+")
        # A threshold that is not met leaves nothing, unless it is asked for yes or no.
        expression = re.sub(r"(>=?) (?=[\d.]+)", r"\1 bool ", in_haste(expression))
        if query.place not in NOT_YET and not await prometheus.ask(expression):
            return False
    return True


async def _runs_with_one_worker(prometheus: Prometheus) -> bool:
    return await prometheus.value("gsc_trio_workers_active == 1 and gsc_trio_concurrency == 1") == 1
