"""The tables beside the data in Postgres: grants, runs, inspections.

What they are for is told in `gsc_trio.store.quota`, `runs` and `inspections`.

Must never: begin or end a transaction; the store does.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable
from typing import Any

import psycopg

from gsc_trio.machine_clock import Moment
from gsc_trio.store.base import GrantKey, RecordedGrant, RecordedRun
from gsc_trio.store.runs import RUNS_KEPT
from gsc_trio.store.schema import dimensions_as_text, dimensions_from_text
from gsc_trio.wire.inspection import Inspection

Connection = psycopg.Connection[tuple[Any, ...]]

_GRANT = (
    'limiter, number, "user", site_url, queries, boot, sent_wall_seconds, sent_monotonic_seconds, '
    "answered_wall_seconds, answered_monotonic_seconds"
)
_GRANT_AGAIN = ", ".join(f"{column} = excluded.{column}" for column in _GRANT.split(", ")[2:])
_RUN = "site_url, search_type, dimensions, status, started_at, duration_seconds, record"


def read_grants(connection: Connection) -> list[RecordedGrant]:
    """All grants, in the order of their keys."""
    select = f"SELECT {_GRANT} FROM quota_grant ORDER BY limiter, number"
    return [_grant(values) for values in connection.execute(select)]


def write_grants(
    connection: Connection, grants: Iterable[RecordedGrant], forget: Collection[GrantKey]
) -> None:
    """Enter grants, or replace them, and delete those that are over."""
    if forget:
        connection.execute(
            "DELETE FROM quota_grant USING unnest(%s::text[], %s::bigint[]) AS over (l, n) "
            "WHERE limiter = over.l AND number = over.n",
            ([key.limiter for key in forget], [key.number for key in forget]),
        )
    placeholders = ", ".join(["%s"] * 10)
    connection.cursor().executemany(
        f"INSERT INTO quota_grant ({_GRANT}) VALUES ({placeholders}) "
        f"ON CONFLICT (limiter, number) DO UPDATE SET {_GRANT_AGAIN}",
        [_values(grant) for grant in grants],
    )


def _grant(values: tuple[Any, ...]) -> RecordedGrant:
    limiter, number, user, site_url, queries, boot, *instants = values
    sent_wall, sent_monotonic, answered_wall, answered_monotonic = instants
    is_answered = answered_wall is not None
    return RecordedGrant(
        key=GrantKey(limiter, number),
        user=user,
        site_url=site_url,
        queries=queries,
        sent=Moment(sent_wall, sent_monotonic, boot),
        answered=Moment(answered_wall, answered_monotonic, boot) if is_answered else None,
    )


def _values(grant: RecordedGrant) -> tuple[object, ...]:
    sent, answered = grant.sent, grant.answered
    return (
        grant.key.limiter,
        grant.key.number,
        grant.user,
        grant.site_url,
        grant.queries,
        sent.boot,
        sent.wall_seconds,
        sent.monotonic_seconds,
        answered.wall_seconds if answered else None,
        answered.monotonic_seconds if answered else None,
    )


def write_run(connection: Connection, run: RecordedRun) -> int:
    """Enter a run and forget those that are too old; returns its number."""
    placeholders = ", ".join(["%s"] * 7)
    [[number]] = connection.execute(
        f"INSERT INTO run ({_RUN}) VALUES ({placeholders}) RETURNING number",
        (
            run.site_url,
            run.search_type,
            dimensions_as_text(run.dimensions),
            run.status,
            run.started_at,
            run.duration_seconds,
            run.record,
        ),
    ).fetchall()
    connection.execute("DELETE FROM run WHERE number <= %s", (number - RUNS_KEPT,))
    return int(number)


def read_runs(connection: Connection) -> list[RecordedRun]:
    """All runs, the latest first, without their records."""
    columns = _RUN.replace("record", "''")
    found = connection.execute(f"SELECT number, {columns} FROM run ORDER BY number DESC")
    return [_run(values) for values in found]


def read_run(connection: Connection, number: int | None) -> RecordedRun | None:
    """A run by its number, or the latest one."""
    found = connection.execute(
        f"SELECT number, {_RUN} FROM run WHERE number = %(number)s OR %(number)s::bigint IS NULL "
        "ORDER BY number DESC LIMIT 1",
        {"number": number},
    ).fetchone()
    return _run(found) if found else None


def _run(values: tuple[Any, ...]) -> RecordedRun:
    number, site_url, search_type, dimensions, status, started_at, seconds, record = values
    return RecordedRun(
        site_url=site_url,
        search_type=search_type,
        dimensions=dimensions_from_text(dimensions),
        status=status,
        started_at=started_at.astimezone(dt.UTC),
        duration_seconds=seconds,
        record=record,
        number=number,
    )


def write_inspection(connection: Connection, inspection: Inspection) -> None:
    """Enter an inspection; the same one entered twice is there once."""
    status = inspection.status
    values = {
        "site_url": inspection.site_url,
        "inspection_url": inspection.inspection_url,
        "inspected_at": inspection.inspected_at,
        "verdict": status.verdict,
        "coverage_state": status.coverage_state,
        "robots_txt_state": status.robots_txt_state,
        "indexing_state": status.indexing_state,
        "page_fetch_state": status.page_fetch_state,
        "last_crawl_time": status.last_crawl_time,
        "google_canonical": status.google_canonical,
        "user_canonical": status.user_canonical,
        "crawled_as": status.crawled_as,
        "sitemaps": json.dumps(status.sitemap, ensure_ascii=False),
        "referring_urls": json.dumps(status.referring_urls, ensure_ascii=False),
        "result": inspection.result,
    }
    again = ", ".join(f"{column} = excluded.{column}" for column in list(values)[3:])
    connection.execute(
        f"INSERT INTO url_inspection ({', '.join(values)}) "
        f"VALUES ({', '.join(f'%({column})s' for column in values)}) "
        f"ON CONFLICT (site_url, inspection_url, inspected_at) DO UPDATE SET {again}",
        values,
    )


def last_inspections(connection: Connection, site_url: str) -> dict[str, dt.datetime]:
    """When each URL of a property was last inspected, in UTC."""
    found = connection.execute(
        "SELECT inspection_url, max(inspected_at) FROM url_inspection "
        "WHERE site_url = %s GROUP BY inspection_url",
        (site_url,),
    )
    return {url: time.astimezone(dt.UTC) for url, time in found}


def count_inspections(connection: Connection, site_url: str, since: dt.datetime) -> int:
    """How many inspections of a property there were since a time."""
    [[count]] = connection.execute(
        "SELECT count(*) FROM url_inspection WHERE site_url = %s AND inspected_at >= %s",
        (site_url, since),
    ).fetchall()
    return int(count)
