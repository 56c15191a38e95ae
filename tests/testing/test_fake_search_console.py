"""The fake: what it answers, how it streams, what it counts; Google's own client agrees with it."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import Any

import httplib2
import httpx
import pytest
import trio
import trio.testing
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError

from gsc_trio.client import Failure, open_search_console
from gsc_trio.config import Settings
from gsc_trio.errors import RateLimitExceededError, TransportError
from gsc_trio.model import Job, Page, SearchAnalyticsQuery
from gsc_trio.testing import (
    CutOff,
    FakeSearchConsole,
    Fault,
    Latency,
    Quota,
    Refuse,
    SimulatedProperty,
    open_streaming_transport,
    serve_fake_search_console,
)

SITE = "https://example.com/"
DAY = dt.date(2026, 3, 4)
QUERY = SearchAnalyticsQuery(SITE)
JOBS = [Job(DAY - dt.timedelta(days=number)) for number in range(4)]
PATH = "/webmasters/v3/sites/https%3A%2F%2Fexample.com%2F/searchAnalytics/query"


def fake_with(**options: Any) -> FakeSearchConsole:
    return FakeSearchConsole([SimulatedProperty(SITE, rows_per_day=40)], **options)


async def post(fake: FakeSearchConsole, body: object, path: str = PATH) -> httpx.Response:
    async with (
        open_streaming_transport(fake) as transport,
        httpx.AsyncClient(transport=transport, base_url="http://fake.example") as http,
    ):
        return await http.post(path, json=body)


def body_of(**fields: Any) -> dict[str, Any]:
    return {"startDate": str(DAY), "endDate": str(DAY), "dimensions": ["page"], **fields}


async def test_a_property_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    def encoded(seed: int) -> tuple[bytes, ...]:
        return SimulatedProperty(SITE, seed, 500).encoded_rows(DAY, "web", ("page", "query"))

    assert encoded(1) == encoded(1)
    assert encoded(1) != encoded(2)


@pytest.mark.parametrize(
    "dimensions",
    [
        (),
        ("date",),
        ("page",),
        ("query", "page"),
        ("country", "device"),
        ("page", "device", "date"),
    ],
)
async def test_rows_have_the_keys_asked_for_each_once_most_clicks_first(
    dimensions: tuple[str, ...],
) -> None:
    rows = SimulatedProperty(SITE, rows_per_day=900).rows(DAY, "web", dimensions)
    assert rows
    assert {len(row.keys) for row in rows} == {len(dimensions)}
    assert len({row.keys for row in rows}) == len(rows)
    clicks = [row.clicks for row in rows]
    assert clicks == sorted(clicks, reverse=True)


async def test_pages_and_clicks_are_heavy_tailed_and_numbers_come_as_google_writes_them() -> None:
    simulated = SimulatedProperty(SITE, rows_per_day=5_000)
    rows = simulated.rows(DAY, "web", ("page", "query"))
    pages: dict[str, int] = {}
    for row in rows:
        pages[row.keys[0]] = pages.get(row.keys[0], 0) + 1
    counts = sorted(pages.values(), reverse=True)
    assert counts[0] > 50 * counts[len(counts) // 2]
    assert sum(row.clicks for row in rows[:50]) > 0.3 * sum(row.clicks for row in rows)
    text = b"".join(simulated.encoded_rows(DAY, "web", ("page", "query")))
    assert b'"clicks":0' in text
    assert b'"clicks":1.0' in text
    assert any(row.position is None for row in rows)
    discover = simulated.rows(DAY, "discover", ("page",))
    assert all(row.position is None for row in discover)


async def test_a_day_is_answered_in_pages_and_ends_with_an_empty_one() -> None:
    fake = FakeSearchConsole([SimulatedProperty(SITE, rows_by_day={DAY: 50_000})])
    sizes = []
    for start_row in (0, 25_000, 50_000):
        answer = await post(fake, body_of(rowLimit=25_000, startRow=start_row))
        sizes.append(len(answer.json().get("rows", [])))
    assert sizes == [25_000, 25_000, 0]
    assert "rows" not in answer.json()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dimensions": ["colour"]}, "colour"),
        ({"dimensions": ["page", "page"]}, "Duplicate"),
        ({"dimensions": ["page", "searchAppearance"]}, "searchAppearance"),
        ({"rowLimit": 25_001}, "rowLimit"),
        ({"startRow": -1}, "startRow"),
        ({"startDate": "2026-13-01"}, "Invalid value"),
        ({"endDate": "2020-01-01"}, "startDate"),
        ({"type": "maps"}, "maps"),
        ({"type": "discover", "dimensions": ["query"]}, "query dimension"),
    ],
)
async def test_what_google_would_refuse_it_refuses(fields: dict[str, Any], words: str) -> None:
    answer = await post(fake_with(), body_of(**fields))
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


async def test_a_property_of_someone_else_is_forbidden_in_googles_words() -> None:
    path = "/webmasters/v3/sites/sc-domain%3Aother.example/searchAnalytics/query"
    answer = await post(fake_with(), body_of(), path)
    error = answer.json()["error"]
    assert (answer.status_code, error["errors"][0]["reason"]) == (403, "forbidden")
    assert "User does not have sufficient permission for site 'sc-domain:other" in error["message"]


async def test_tokens_are_checked_when_it_knows_some() -> None:
    fake = fake_with(access_tokens=frozenset({"right"}))
    assert (await post(fake, body_of())).status_code == 401


async def test_queries_over_the_limit_are_refused_and_counted_by_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = fake_with(quota=Quota(queries_per_minute=3))
    statuses = [(await post(fake, body_of())).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 403]
    assert (fake.quota.peak_queries_per_minute, fake.quota.refused) == (4, 1)
    await trio.sleep(60)
    assert (await post(fake, body_of())).status_code == 200


async def arrivals(api_root: str, transport: httpx.AsyncBaseTransport | None) -> list[float]:
    """When each part of a batch could be read, in seconds from the start."""
    settings = Settings(api_root=api_root)
    began = trio.current_time()
    async with (
        open_search_console(settings, transport=transport) as client,
        client.query_batch(QUERY, JOBS) as answers,
    ):
        return [trio.current_time() - began async for _ in answers]


async def test_parts_are_streamed_one_after_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = fake_with(latency=Latency(seconds_per_row=0))
    async with open_streaming_transport(fake) as transport:
        times = await arrivals("http://fake.example", transport)
    # A part is whole when the next one begins, the last when the answer ends.
    assert times == pytest.approx([0.70, 1.05, 1.40, 1.40])


async def test_parts_are_worked_on_in_parallel_in_the_second_model(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fake = fake_with(latency=Latency(seconds_per_row=0, parallel_parts=True))
    async with open_streaming_transport(fake) as transport:
        times = await arrivals("http://fake.example", transport)
    assert times == pytest.approx([0.35] * 4)


async def test_parts_are_streamed_over_a_socket_too() -> None:
    fake = fake_with(latency=Latency(seconds_per_call=0.15))
    async with serve_fake_search_console(fake) as api_root:
        times = await arrivals(api_root, None)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times[:3])]
    assert min(gaps) > 0.1


async def test_answers_over_a_socket_are_compressed() -> None:
    async with serve_fake_search_console(fake_with()) as api_root, httpx.AsyncClient() as http:
        answer = await http.post(api_root + PATH, json=body_of())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize("whole_request", [True, False])
@pytest.mark.parametrize("count", [1, 4])
async def test_a_connection_cut_off_in_mid_answer_is_a_transport_error_over_a_socket(
    whole_request: bool, count: int
) -> None:
    fault = Fault(CutOff(), skip=0 if whole_request else count - 1, whole_request=whole_request)
    fake = fake_with(faults=[fault])

    async def ask(api_root: str) -> None:
        async with open_search_console(Settings(api_root=api_root)) as client:
            if count == 1:
                await client.query(QUERY, JOBS[0])
            async with client.query_batch(QUERY, JOBS[:count]) as answers:
                assert [answer async for answer in answers]

    async with serve_fake_search_console(fake) as api_root:
        with pytest.raises(TransportError):
            await ask(api_root)


async def test_faults_strike_as_often_as_they_are_told_to() -> None:
    fake = fake_with(
        faults=[
            Fault(Refuse(500), data_date=DAY, times=2),
            Fault(Refuse(429, "rateLimitExceeded", retry_after="9"), skip=1, start_row=0),
        ]
    )
    statuses = [(await post(fake, body_of())).status_code for _ in range(5)]
    assert statuses == [500, 500, 200, 429, 200]
    assert [call.status for call in fake.calls] == statuses


async def test_quota_refusals_in_a_batch_come_part_by_part() -> None:
    fake = fake_with(quota=Quota(queries_per_minute=2))
    async with (
        open_streaming_transport(fake) as transport,
        open_search_console(Settings(), transport=transport) as client,
        client.query_batch(QUERY, JOBS) as answers,
    ):
        kinds = [
            type(answer.error) if isinstance(answer, Failure) else type(answer)
            async for answer in answers
        ]
    assert kinds == [Page, Page, RateLimitExceededError, RateLimitExceededError]


def use_googles_client(api_root: str) -> dict[str, Any]:
    """The official client, as its documentation shows it, but for the address."""
    credentials = Credentials(token="token")
    connections = httplib2.Http()
    document = json.loads(get_static_doc("searchconsole", "v1"))
    document["rootUrl"] = f"{api_root}/"  # which is also where batches go
    service = build_from_document(document, http=AuthorizedHttp(credentials, http=connections))
    seen: dict[str, Any] = {"batch": {}}
    analytics = service.searchanalytics()
    seen["query"] = analytics.query(siteUrl=SITE, body=body_of(rowLimit=10)).execute()
    seen["sites"] = service.sites().list().execute()
    try:
        analytics.query(siteUrl="sc-domain:other.example", body=body_of()).execute()
    except HttpError as error:
        seen["error"] = json.loads(error.content)["error"]

    def note(request_id: str, response: Any, exception: Exception | None) -> None:
        seen["batch"][request_id] = response or exception

    batch = service.new_batch_http_request(callback=note)
    for job in JOBS:
        body = body_of(startDate=str(job.data_date), endDate=str(job.data_date))
        batch.add(analytics.query(siteUrl=SITE, body=body), request_id=str(job.data_date))
    batch.add(analytics.query(siteUrl="sc-domain:other.example", body=body_of()), request_id="x")
    batch.execute()
    connections.close()
    return seen


async def test_googles_own_client_works_against_it() -> None:
    fake = fake_with(part_order="reversed")
    simulated = SimulatedProperty(SITE, rows_per_day=40)
    async with serve_fake_search_console(fake) as api_root:
        seen = await trio.to_thread.run_sync(use_googles_client, api_root)
    rows = simulated.rows(DAY, "web", ("page",))
    assert [tuple(row["keys"]) for row in seen["query"]["rows"]] == [row.keys for row in rows[:10]]
    assert seen["sites"]["siteEntry"] == [{"siteUrl": SITE, "permissionLevel": "siteOwner"}]
    assert seen["error"]["errors"][0]["reason"] == "forbidden"
    assert isinstance(seen["batch"].pop("x"), HttpError)
    counts = {name: len(answer["rows"]) for name, answer in seen["batch"].items()}
    assert counts == {
        str(job.data_date): len(simulated.rows(job.data_date, "web", ("page",))) for job in JOBS
    }


async def test_a_user_is_who_signed_in_whatever_token_they_have() -> None:
    fake = fake_with(user_of=lambda token: token.partition("-")[0])
    async with open_streaming_transport(fake) as transport:
        for token in ("ann-1", "ann-2", "bob-1"):
            settings = Settings(access_token=token)
            async with open_search_console(settings, transport=transport) as client:
                await client.query(QUERY, JOBS[0])
    assert fake.quota.peak("user") == 2
